#!/usr/bin/env python3
"""Mutants of manual/, each with one change, judged in a copy of the project by compare.py and the check before training.

A mutant is caught (by a forward value, a gradient, the walk, or because it raises), equivalent (it trains as the original does,
but for rounding), outside (no check and no training goes by the place) or SURVIVED: nothing catches it, and it trains wrongly.
"""

import argparse
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mutants import Mutant, mutants_of
from gradcheck.command import Parser, progress_bar, run, whole_number
from gradcheck.errors import UserError
from gradcheck.report.files import check_writable, write_json
from gradcheck.report.tables import markdown

PROJECT = Path(__file__).resolve().parents[1]
# What a judgement needs, and nothing else is copied.
COPIED = ("benchmarks", "gradcheck", "lab", "manual", "models", "networks.py", "random_streams.py")
CAUGHT_BY = ("forward", "gradient", "walk", "raised", "raised in training")

EXAMPLES = """\
examples:
  python -m benchmarks.mutations                          all of them, a quarter of an hour on two cores
  python -m benchmarks.mutations --limit 200 --seed 3     200 of them, drawn at random
  python -m benchmarks.mutations --file losses.py --json found.json
  python -m benchmarks.mutations --only layers.py:89:4    the change, and how it is judged

exit codes: 0 none survived, 1 some did, 2 could not run
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(__doc__, EXAMPLES)
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="these mutants alone, with their changes")
    parser.add_argument(
        "--file", action="append", default=[], metavar="NAME", help="those of this file of manual/; again for more"
    )
    parser.add_argument("--limit", type=whole_number(1), metavar="N", help="so many, drawn at random (all)")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="draws them (0)")
    parser.add_argument("--processes", type=whole_number(1), default=os.cpu_count(), metavar="N", help="at once (one a core)")
    parser.add_argument("--json", metavar="FILE", help="a row for each mutant; - prints them alone on standard output")
    options = parser.parse_args(arguments)
    if options.json is not None:
        check_writable(options.json)
    return options


def chosen(options: argparse.Namespace) -> list[Mutant]:
    """The mutants that the options name, in the order of the files. Raises UserError where there is none of a name."""
    texts = {path.name: path.read_text() for path in sorted((PROJECT / "manual").glob("*.py"))}
    mutants = [mutant for name, text in texts.items() for mutant in mutants_of(name, text)]
    known = {"file": (options.file, list(texts)), "mutant": (options.only, [each.id for each in mutants])}
    for kind, (given, names) in known.items():
        for name in given:
            if name not in names:
                raise UserError(f"manual/ has no {kind} {name!r}; a {kind} is called like {names[0]!r}, and --json lists all")
    mutants = [each for each in mutants if not options.file or each.file in options.file]
    mutants = [each for each in mutants if not options.only or each.id in options.only]
    if options.limit is not None and options.limit < len(mutants):
        numbers = random.Random(options.seed).sample(range(len(mutants)), options.limit)
        mutants = [mutants[k] for k in sorted(numbers)]
    return mutants


def judged(mutants: list[Mutant], processes: int) -> Iterator[dict[str, Any]]:
    """The judgement of each mutant, as they come, from a copy of the project. Raises UserError where that could not go on."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
            copy(PROJECT / name, Path(folder, name))
        quiet = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "benchmarks.mutation_judge", str(processes)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=folder, env=os.environ | quiet, **pipes) as judge:
            json.dump([mutant._asdict() for mutant in mutants], judge.stdin)
            judge.stdin.close()
            yield from map(json.loads, judge.stdout)
        if judge.returncode:
            raise UserError(f"the judge ended with exit code {judge.returncode}; what it said is above")


def difference(mutant: Mutant) -> str:
    """The lines that the mutant changes."""
    before = (PROJECT / "manual" / mutant.file).read_text().splitlines()
    lines = difflib.unified_diff(before, mutant.source.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def sentence(row: dict[str, Any]) -> str:
    """How a mutant was judged."""
    if row["outcome"] == "caught":
        where = f" in {row['check']}" if "check" in row else ""
        return f"caught: {row['by']}{where}: {row['why']}"
    if row["outcome"] == "SURVIVED":
        apart = "infinitely far" if row["distance"] is None else f"{row['distance']:.1e}"
        return f"SURVIVED AND TRAINS WRONGLY: {row['why']} is {apart} apart, rounding allows {row['allowed']:.1e}"
    apart = f"{row['distance']:.1e} apart at most" if row["distance"] else "bit for bit"
    return f"{row['outcome']}: it trains like the original, {apart}"


def table(rows: list[dict[str, Any]]) -> str:
    """How many of each file are what, as Markdown."""
    lines = [("file", "mutants", *(f"caught: {by}" for by in CAUGHT_BY), "equivalent", "outside", "SURVIVED")]
    for name in (*dict.fromkeys(row["file"] for row in rows), None):
        of_file = [row for row in rows if name in (None, row["file"])]
        counts = Counter(row.get("by", row["outcome"]) for row in of_file)
        columns = (*CAUGHT_BY, "equivalent", "outside", "SURVIVED")
        lines.append((name or "**all**", f"{len(of_file):,}", *(f"{counts[column]:,}" for column in columns)))
    return markdown(lines)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    mutants = {mutant.id: mutant for mutant in chosen(options)}
    rows = []
    with progress_bar() as progress:
        bar = progress.add_task("mutants", total=len(mutants))
        for judgement in judged(list(mutants.values()), options.processes):
            mutant = mutants[judgement["id"]]
            about = {"file": mutant.file, "operator": mutant.operator, "difference": difference(mutant)}
            rows.append(judgement | about)
            progress.advance(bar)
    order = list(mutants)
    rows.sort(key=lambda row: order.index(row["id"]))
    survived = [row for row in rows if row["outcome"] == "SURVIVED"]
    if options.json is not None:
        write_json(options.json, {"mutants": rows})
    if options.json != "-":
        for row in rows if options.only else survived:
            print(f"{row['id']} ({row['operator']})\n{row['difference']}\n{sentence(row)}\n")
        print(table(rows))
    return 1 if survived else 0


if __name__ == "__main__":
    run(main)
