#!/usr/bin/env python3
"""Planted bugs, one after another, judged by gradcheck and by the rules of other gradient checkers: a Markdown table.

The first rows are a control: the correct gradient, at several seeds.
"""

import argparse
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any
from unittest.mock import patch

from benchmarks import example_bugs
from benchmarks.bugs import BUGS
from benchmarks.peers import NAMES
from benchmarks.places import ExamplePlace, NetworkPlace
from benchmarks.planting import Bug
from gradcheck.command import Parser, progress_bar, run, whole_number
from gradcheck.errors import UserError
from gradcheck.report.files import check_writable, write_json
from gradcheck.report.tables import markdown
from lab.data.synthetic import draw_synthetic
from networks import NAMED, Network

Place = NetworkPlace | ExamplePlace
MakePlace = Callable[..., Place]

EXAMPLES = """\
examples:
  python -m benchmarks.planted_bugs                       all of them; an hour, most of it for gradcheck's slow mode
  python -m benchmarks.planted_bugs --without-slow        minutes
  python -m benchmarks.planted_bugs two-layer one-layer --json bugs.json
  python -m benchmarks.planted_bugs --bugs relu_mask_missing two_rows_swapped
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(__doc__, EXAMPLES)
    parser.add_argument("places", nargs="*", metavar="PLACE", help="a network or an example with bugs in it (all)")
    parser.add_argument("--bugs", nargs="+", default=[], metavar="BUG", help="only these, by name")
    parser.add_argument("--without-slow", action="store_true", help="without torch.autograd.gradcheck(fast_mode=False)")
    parser.add_argument("--seeds", type=whole_number(0), default=5, metavar="N", help="seeds of the control (5)")
    parser.add_argument("--width", type=whole_number(1), metavar="N", help="hidden layers of N units instead, for a quick look")
    parser.add_argument("--json", metavar="FILE", help="the data as JSON too; - prints them alone on standard output")
    options = parser.parse_args(arguments)
    if options.json is not None:
        check_writable(options.json)
    return options


def catalogue(options: argparse.Namespace) -> Iterator[tuple[str, MakePlace, range, list[Any]]]:
    """(name, a function `place(seed, slow)`, seeds, bugs) of each network and example where a chosen bug is planted."""
    found: dict[str, tuple[MakePlace, range, list[Any]]] = {}
    for network in networks(options):
        bugs = [bug for bug in BUGS.values() if bug.network == network.name]
        found[network.name] = functools.partial(NetworkPlace, network), range(options.seeds), bugs
    for name in dict.fromkeys(bug.example for bug in example_bugs.BUGS):
        example_place = functools.partial(ExamplePlace, import_module(f"examples.{name}"))
        # An example has the numbers that stand in it, whatever the seed.
        found[name] = example_place, range(min(options.seeds, 1)), [bug for bug in example_bugs.BUGS if bug.example == name]
    known = {"place": found, "bug": [bug.name for _, _, bugs in found.values() for bug in bugs]}
    for kind, given in (("place", options.places), ("bug", options.bugs)):
        for name in given:
            if name not in known[kind]:
                raise UserError(f"unknown {kind} {name!r}; choose from {', '.join(known[kind])}")
    for name, (place, seeds, bugs) in found.items():
        chosen = [bug for bug in bugs if not options.bugs or bug.name in options.bugs]
        if chosen and (not options.places or name in options.places):
            yield name, place, seeds, chosen


def networks(options: argparse.Namespace) -> Iterator[Network]:
    """The seven networks, of hidden layers of `--width` units if that is given."""
    for network in NAMED.values():
        yield replace(network, hidden=(options.width,) * len(network.hidden)) if options.width else network


def control_row(name: str, place: Place, seed: int) -> dict[str, Any]:
    """The correct gradient: who raises a false alarm."""
    found, accepted = place.judged(None)
    alarms = {"ours": found["verdict"] != "pass"} | {checker: not passes for checker, passes in accepted.items()}
    return {"place": name, "seed": seed, "alarms": alarms}


def bug_row(name: str, place: Any, bug: Bug | example_bugs.ExampleBug) -> dict[str, Any]:
    """A planted bug: what ours finds and says, and which of the peers reject the gradient."""
    found, accepted = place.judged(bug)
    diagnoses = {row["name"]: row["diagnosis"] for row in found["tensors"] if row["verdict"] == "fail"}
    return {
        "bug": bug.name,
        "place": name,
        "wrong": [row["name"] for row in found["tensors"] if row["name"] in bug.tensors],
        "found": found["verdict"] == "fail" and not found["faults"],
        "tensors_right": diagnoses.keys() == bug.tensors,
        "has_form": bool(bug.cause),
        "cause": place.cause(bug, diagnoses),
        "diagnoses": diagnoses,
        "peers": {checker: not passes for checker, passes in accepted.items()},
    }


def bug_table(rows: list[dict[str, Any]], peers: Sequence[str]) -> str:
    """The bugs as Markdown, with the sums underneath. Of a bug without a form nobody could tell the cause."""
    table = [("bug", "planted in", "wrong", "ours: found", "tensors", "cause", "wrong cause", *peers)]
    for row in rows:
        wrong = " ".join(row["wrong"]) if len(row["wrong"]) <= 4 else f"{len(row['wrong'])} tensors"
        cause = row["cause"] if row["cause"] == ("right" if row["has_form"] else "none") else f"**{row['cause']}**"
        misled = "**yes**" if row["cause"] == "wrong" else "no"
        others = [yes(row["peers"][name]) for name in peers]
        found, tensors = yes(row["found"]), yes(row["tensors_right"])
        table.append((plain(row["bug"]), row["place"], wrong, found, tensors, cause, misled, *others))
    causes = ", ".join(f"{count} {cause}" for cause, count in Counter(row["cause"] for row in rows).most_common())
    causes += f"; {sum(not row['has_form'] for row in rows)} have no form"
    sums = [sum(row["found"] for row in rows), sum(row["tensors_right"] for row in rows), causes]
    sums += [sum(row["cause"] == "wrong" for row in rows), *(sum(row["peers"][name] for row in rows) for name in peers)]
    return markdown([*table, (f"**found, of {len(rows)}**", "", "", *map(str, sums))])


def cause_table(rows: list[dict[str, Any]]) -> str:
    """How many causes are named rightly and wrongly, in the networks and in the examples."""
    table = [("causes", "bugs", "right", "share", "wrong")]
    for kind in ("networks", "examples"):
        causes = [row["cause"] for row in rows if (row["place"] in NAMED) == (kind == "networks")]
        right = causes.count("right")
        share = f"{right / len(causes):.0%}" if causes else ""
        table.append((kind, str(len(causes)), str(right), share, str(causes.count("wrong"))))
    return markdown(table)


def plain(name: str) -> str:
    return name.replace("_", " ")


def yes(found: bool) -> str:
    return "yes" if found else "**no**"


def control_table(control: list[dict[str, Any]], checkers: Sequence[str]) -> str:
    """False alarms on the correct gradient, by network."""
    table = [("false alarms", *checkers)]
    for name in (*dict.fromkeys(row["place"] for row in control), None):
        alarms = [row["alarms"] for row in control if name in (None, row["place"])]
        given = [[each[checker] for each in alarms if checker in each] for checker in checkers]
        table.append((name or "**all**", *(f"{sum(each)} of {len(each)}" for each in given)))
    return markdown(table)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    places = list(catalogue(options))
    if not places:
        raise UserError("none of these bugs is planted there")
    rows, control, slow = [], [], not options.without_slow
    drawn_once = patch("lab.data.datasets.draw_synthetic", functools.cache(draw_synthetic))
    with drawn_once, progress_bar() as progress:
        bar = progress.add_task("", total=sum(len(seeds) + len(bugs) for _, _, seeds, bugs in places))
        for name, at, seeds, bugs in places:
            place = at(0, slow)
            for seed in seeds:
                progress.update(bar, description=f"{name}: the correct gradient, seed {seed}")
                # The slow mode takes minutes at each point: it judges a network at one.
                control.append(control_row(name, at(seed, slow=False) if seed else place, seed))
                progress.advance(bar)
            for bug in bugs:
                progress.update(bar, description=f"{name}: {plain(bug.name)}")
                rows.append(bug_row(name, place, bug))
                progress.advance(bar)
    peers = [name for name in NAMES if slow or name != "torch slow"]
    if options.json is not None:
        write_json(options.json, {"bugs": rows, "control": control})
    if options.json != "-":
        print(f"{bug_table(rows, peers)}\n\n{cause_table(rows)}")
        if control:
            print(f"\n{control_table(control, ('ours', *peers))}")
    return 0


if __name__ == "__main__":
    run(main)
