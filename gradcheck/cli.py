"""The command `gradcheck`: pairs of cost and gradient, each from a file, are checked; and what compare.py shares with it."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gradcheck import __version__
from gradcheck.api import check_pair
from gradcheck.command import EXIT_CODES, Parser, positive, progress_bar, run, whole_number
from gradcheck.report.files import check_writable, standard_output_to_stderr, write_bytes, write_json
from gradcheck.result import CheckResult, RunResult
from gradcheck.subject import ORACLES, Advance
from gradcheck.subjects.pair_file import load_pair_and_tolerance, naming
from gradcheck.subjects.plan import BUDGET
from gradcheck.verdict import overall

DESCRIPTION = "Compare a claimed gradient with independent derivations of it, at every entry, and name the bug."
EXAMPLES = """\
examples:
  gradcheck mine.py                        a file that defines parameters, cost and gradients; it is RUN, WITH YOUR RIGHTS
  gradcheck mine.py --html page.html       a page to look at, one file
  gradcheck mine.py --json - | jq .verdict
  gradcheck mine.py --tolerance x=1e-6     x comes from a solver that is no better than that; the verdict says so
  gradcheck mine.py --oracles complex-step,central-difference --budget 60
  gradcheck simulator.py --quick           10 calls of a cost that takes long, along two random directions

exit codes: 0 every entry verified, 1 an entry is wrong, 3 none wrong but some undecided, 2 could not run
"""


class PlannedCheck(NamedTuple):
    """A check to run: its name, the entries that it goes through (None where that is not known), and what runs it."""

    name: str
    entries: int | None
    run: Callable[[Advance], CheckResult]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(DESCRIPTION, EXAMPLES, prog="gradcheck")
    parser.add_argument("pair", nargs="+", metavar="FILE.py", help="a pair of cost and gradient; it is RUN, WITH YOUR RIGHTS")
    add_check_options(parser)
    parser.add_argument("--version", action="version", version=f"gradcheck {__version__}")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="draws samples and directions (0)")
    options = parser.parse_args(arguments)
    check_outputs(parser, options)
    return options


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """--oracles, --budget, --tolerance, --html and --json."""
    parser.add_argument("--oracles", type=oracles, default=ORACLES, metavar="NAME,...", help=f"{','.join(ORACLES)} (all)")
    parser.add_argument(
        "--budget", type=positive, metavar="S", help=f"seconds for a pair; what does not fit is left out, and said ({BUDGET:g})"
    )
    parser.add_argument("--quick", action="store_true", help="a pair by 10 calls of its cost, along two random directions")
    parser.add_argument(
        "--tolerance",
        type=tolerance,
        action="append",
        default=[],
        metavar="NAME=T",
        help="what a tensor of a pair may be off beyond rounding, a share of its largest derivative, such as w=1e-6 (0)",
    )
    parser.add_argument("--html", metavar="FILE", help="the result as a page that needs nothing else")
    parser.add_argument("--json", metavar="FILE", help="the result as JSON; - prints it alone on standard output")


def oracles(text: str) -> tuple[str, ...]:
    """An argparse type: names of oracles, in the order in which they are asked."""
    chosen = tuple(text.split(","))
    for name in chosen:
        if name not in ORACLES:
            raise argparse.ArgumentTypeError(f"unknown oracle {name!r}; choose from {','.join(ORACLES)}")
    return tuple(oracle for oracle in ORACLES if oracle in chosen)


def tolerance(text: str) -> tuple[str, float]:
    """An argparse type: the name of a tensor and a number."""
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name and a number, as w=1e-6 is") from error


def check_outputs(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the command now where the files of --html and --json could not be written later."""
    if options.html == "-" or (options.html and options.json and same_file(options.html, options.json)):
        parser.error("--html needs a file of its own")
    for path in (options.json, options.html):
        if path is not None:
            check_writable(path)


def same_file(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def pair_checks(options: argparse.Namespace) -> list[PlannedCheck]:
    """The checks of the files `options.pair`. What these print goes to stderr: standard output is for the result."""
    return [pair_check(path, options) for path in options.pair]


def pair_check(path: str, options: argparse.Namespace) -> PlannedCheck:
    with standard_output_to_stderr():
        pair, tolerance = load_pair_and_tolerance(path, dict(options.tolerance))
    name = Path(path).stem

    def check_one(advance: Advance) -> CheckResult:
        with naming(path), standard_output_to_stderr():
            return check_pair(
                pair,
                tolerance=tolerance,
                name=name,
                oracles=options.oracles,
                seed=options.seed,
                budget=options.budget or BUDGET,
                quick=options.quick,
                advance=advance,
                announce=partial(announce, name),
                pictures=bool(options.html),
            )

    return PlannedCheck(name, None, check_one)


def announce(name: str, sentence: str) -> None:
    """What a check is about to do, on stderr, where it takes time."""
    print(f"{name}: {sentence}", file=sys.stderr)


def run_checks(checks: Sequence[PlannedCheck], options: argparse.Namespace, command: str, heading: str = "") -> int:
    """Runs the checks, shows and writes their results as the options say, and returns the exit code.

    `command` is the command line for the page, `heading` a line above the tables.
    """
    from gradcheck.report.page import comparison_page
    from gradcheck.report.tables import comparison_summary, network_table, show

    started, printed = time.perf_counter(), options.json != "-"
    if heading and printed:
        show(heading)
    results = []
    for each in checks:
        with progress_bar("{task.percentage:>3.0f}%") as progress:
            bar = progress.add_task(each.name, total=each.entries)
            results.append(each.run(partial(progress.advance, bar)))
        if printed:
            show(network_table(results[-1].as_json()), "")
    verdict = overall(result.verdict for result in results)
    seconds = time.perf_counter() - started
    run_result: RunResult = {"verdict": verdict, "seconds": seconds, "networks": [result.as_json() for result in results]}
    if options.json is not None:
        write_json(options.json, run_result)
    if options.html is not None:
        write_bytes(options.html, comparison_page(run_result, [each.pictures for each in results], command).encode())
    if printed:
        show(*comparison_summary(run_result))
    return EXIT_CODES[verdict]


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    return run_checks(pair_checks(options), options, shlex.join(["gradcheck", *arguments]))


def entry() -> None:
    """What the installed command and `python -m gradcheck` run."""
    run(main, "gradcheck")
