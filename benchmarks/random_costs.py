#!/usr/bin/env python3
"""Random costs with right gradients, and each again with one entry wrong by 1e-3: what is answered wrongly or not at all.

Cost K of a run is drawn from the seed --seed + K alone, so that any of them can be repeated by itself: --only SEED.

A gradient is right where each entry is as near to the derivative in 400 digits as a computation in float64 can get: no further
than 4 times the furthest of 16 such computations in which every result is moved at random by up to its rounding. At a kink it
has to lie between the one-sided derivatives. An entry is visible where both sides agree and what float64 may be off by is under
half of the planted error. Costs whose gradient is not right are left out, and counted.
"""

import argparse
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.correct_networks import use_one_thread
from benchmarks.cost_kinds import KINDS
from benchmarks.cost_pairs import ERROR, DrawnCost, arrays, draw, draw_kinds, index_of, moved_by_error, plant, visible_entries
from benchmarks.cost_truth import NoTruth
from gradcheck.command import Parser, progress_bar, run, whole_number
from gradcheck.report.files import check_writable, write_json
from gradcheck.report.sentences import failures
from gradcheck.report.tables import comparison_summary, markdown, network_table, show
from gradcheck.result import RunResult

EXAMPLES = """\
examples:
  python -m benchmarks.random_costs                       2,000 costs, seeds 0 to 1999
  python -m benchmarks.random_costs --costs 100 --seed 5000
  python -m benchmarks.random_costs --kinds tied saturated  those of the seeds that are of these kinds
  python -m benchmarks.random_costs --only 212            the cost of seed 212: its source, the truth, the tables
  python -m benchmarks.random_costs --json found.json     a row for each cost

exit codes: 0 no right gradient fails, every wrong one does and under 2 % are undecided, 1 otherwise, 2 could not run
"""
# The largest share of right gradients that may be undecided.
MOST_UNDECIDED = 0.02


def check_seed(seed: int, kinds: tuple[str, ...] = KINDS) -> dict[str, Any] | None:
    """The row of one cost in the JSON file; None where it is not of these kinds."""
    started = time.perf_counter()
    own = draw_kinds(seed)[2]
    if not set(own) & set(kinds):
        return None
    try:
        drawn = draw(seed)
    except NoTruth as reason:
        return {"seed": seed, "kinds": own, "left_out": str(reason)}
    row = {"seed": seed, "kinds": drawn.kinds, "left_out": None, "drawn_in": time.perf_counter() - started}
    row |= answer("right", drawn, drawn.gradients)
    planted = plant(drawn)
    if planted is None:
        return row
    name, entry, gradients = planted
    row |= {"entry": f"{name}{index_of(drawn, name, entry)}", "moves": moved_by_error(drawn, name, entry)}
    return row | answer("planted", drawn, gradients, name)


def answer(which: str, drawn: DrawnCost, gradients: Callable[[Any], Any], tensor: str | None = None) -> dict[str, Any]:
    """What the check says of these gradients, or of one tensor of them, or that it raised."""
    started = time.perf_counter()
    try:
        result = drawn.check(gradients).as_json()
    except Exception as error:
        return {which: "raised", f"why_{which}": f"{type(error).__name__}: {error}"}
    verdict = next((row["verdict"] for row in result["tensors"] if row["name"] == tensor), result["verdict"])
    why = [line.strip() for line in (*failures(result), *result["notes"])]
    return {which: verdict, f"why_{which}": "; ".join(why[:4]), f"{which}_in": time.perf_counter() - started}


def check_all(seeds: Iterable[int], kinds: tuple[str, ...], advance: Callable[[int], None]) -> list[dict[str, Any]]:
    """The rows of all costs, checked by one process on each core; `advance(1)` is called after each cost."""
    context, rows = multiprocessing.get_context("spawn"), []
    with ProcessPoolExecutor(os.cpu_count(), context, use_one_thread) as pool:
        for row in pool.map(partial(check_seed, kinds=kinds), seeds, chunksize=4):
            rows += [] if row is None else [row]
            advance(1)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """One row for each kind of cost, and one for all of them, as Markdown."""
    lines = [("kind", "right", "pass", "undecided", "fail", "raised", "wrong by 1e-3", "fail", "undecided", "pass", "seconds")]
    for kind in ("all", *dict.fromkeys(sorted(kind for row in rows for kind in row["kinds"] if not row["left_out"]))):
        of_kind = [row for row in rows if not row["left_out"] and (kind == "all" or kind in row["kinds"])]
        right, planted = Counter(row["right"] for row in of_kind), Counter(row.get("planted") for row in of_kind)
        counts = [len(of_kind), *(right[name] for name in ("pass", "undecided", "fail", "raised"))]
        counts += [len(of_kind) - planted[None], *(planted[name] for name in ("fail", "undecided", "pass"))]
        seconds = sum(row.get("right_in", 0) + row.get("planted_in", 0) for row in of_kind)
        lines.append((kind, *(f"{count:,}" for count in counts), f"{seconds:.0f}"))
    return markdown(lines)


class Found(NamedTuple):
    """The rows of the costs that were not answered as they should: a right gradient, a constant cost aside, that is undecided,
    one that fails, a wrong one that does not."""

    undecided: list[dict[str, Any]]
    alarms: list[dict[str, Any]]
    missed: list[dict[str, Any]]


def not_as_it_should(rows: list[dict[str, Any]]) -> Found:
    kept = [row for row in rows if not row["left_out"]]
    return Found(
        [row for row in kept if row["right"] == "undecided" and "constant" not in row["kinds"]],
        [row for row in kept if row["right"] in ("fail", "raised")],
        [row for row in kept if row.get("planted", "fail") != "fail"],
    )


def listed(found: Found) -> list[str]:
    """A line for each cost that was not answered as it should, and an indented one on what the check said."""
    lines = []
    for what, which, rows in (
        ("a false alarm", "right", found.alarms),
        ("an error missed", "planted", found.missed),
        ("undecided", "right", found.undecided),
    ):
        for row in rows:
            entry = f"; planted in {row['entry']}, {row['moves']:.0e} last digits of the cost" if which == "planted" else ""
            lines.append(f"{what}: seed {row['seed']}, {', '.join(row['kinds'])}{entry}\n  {row[which]}: {row['why_' + which]}")
    return lines


def show_one(seed: int) -> int:
    """The source of the cost of this seed, the truth beside what is claimed, and both checks. Returns the exit code."""
    try:
        drawn = draw(seed)
    except NoTruth as reason:
        print(f"{draw_kinds(seed)[1].pair_source('numpy')}\nleft out: {reason}")
        return 0
    print(f"# {', '.join(drawn.kinds)}\n{drawn.source}")
    found = arrays(drawn.gradients(drawn.parameters))
    visible = set(visible_entries(drawn))
    lines: list[tuple[str, ...]] = [("entry", "from the left", "from the right", "claimed", "may be off by", "")]
    for name, gradient in found.items():
        numbers = (drawn.truth.left[name], drawn.truth.right[name], gradient, drawn.truth.allowed[name])
        for flat, index in enumerate(np.ndindex(gradient.shape)):
            cells = (f"{number[index]:.17g}" for number in numbers)
            lines.append((f"{name}{list(index)}", *cells, "visible" if (name, flat) in visible else ""))
    print(markdown(lines))
    verdicts = [show_check(drawn, drawn.gradients)]
    planted = plant(drawn)
    if planted is not None:
        name, entry, gradients = planted
        print(f"\nwith {name}{index_of(drawn, name, entry)} times 1 + {ERROR:g}:")
        verdicts.append(show_check(drawn, gradients))
    return 1 if verdicts[0] == "fail" or verdicts[1:] not in ([], ["fail"]) else 0


def show_check(drawn: DrawnCost, gradients: Callable[[Any], Any]) -> str:
    """Prints what compare.py does and returns the verdict."""
    result = drawn.check(gradients).as_json()
    run_result: RunResult = {"verdict": result["verdict"], "seconds": result["seconds"], "networks": [result]}
    show(network_table(result), *comparison_summary(run_result))
    return result["verdict"]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(__doc__, EXAMPLES)
    parser.add_argument("--costs", type=whole_number(1), default=2000, metavar="N", help="how many (2000)")
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="seed of the first cost; the next one has the next seed (0)"
    )
    parser.add_argument("--only", type=whole_number(0), metavar="SEED", help="this cost alone, with its source and tables")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help=f"of {', '.join(KINDS)} (all)")
    parser.add_argument("--json", metavar="FILE", help="a row for each cost")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.only is not None:
        return show_one(options.only)
    if options.json is not None:
        check_writable(options.json)
    started = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("costs", total=options.costs)
        seeds = range(options.seed, options.seed + options.costs)
        rows = check_all(seeds, tuple(options.kinds), lambda count: bar.advance(task, count))
    seconds = time.perf_counter() - started
    if options.json is not None:
        write_json(options.json, {"seconds": seconds, "costs": rows})
    return report(rows, f"seeds {seeds[0]} to {seeds[-1]}, in {seconds:.0f} s")


def report(rows: list[dict[str, Any]], what: str) -> int:
    """Prints the table, what was not answered as it should, and the sums. Returns the exit code."""
    found = not_as_it_should(rows)
    print("\n".join([table(rows), "", *listed(found), ""]))
    left_out = Counter(row["left_out"] for row in rows if row["left_out"])
    for reason, count in left_out.most_common():
        print(f"left out: {count:,}, {reason}")
    right, planted = len(rows) - left_out.total(), sum("planted" in row for row in rows)
    share = len(found.undecided) / max(right, 1)
    print(
        f"{what}: of {right:,} right gradients {len(found.alarms):,} fail and {len(found.undecided):,} ({share:.1%}) are "
        f"undecided; of {planted:,} with an error of {ERROR:g} {len(found.missed):,} are missed, "
        f"{sum(row['moves'] < 1 for row in found.missed):,} of which move the cost by less than its last digit"
    )
    return 1 if found.alarms or found.missed or share >= MOST_UNDECIDED else 0


if __name__ == "__main__":
    run(main)
