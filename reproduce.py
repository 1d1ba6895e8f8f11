#!/usr/bin/env python3
"""The gradient checks of the five reports again: each report's own protocol on our gradient, beside ours."""

from rich.console import Console
from rich.progress import track

from commands import Parser, add_common_options, run
from reporting.tables import gradient_check_table
from reports.experiments import GRADIENT_CHECKS
from reports.run import run_gradient_check
from training import data

EXAMPLES = """\
examples:
  python reproduce.py --data cifar10             all of them, on the images that the reports used
  python reproduce.py 003                        those of report 003
  python reproduce.py 004-gradcheck-3l           this one

exit codes: 0 our check verified every gradient, 1 it did not, 2 could not run
"""


def main(arguments):
    parser = Parser(__doc__, EXAMPLES)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="a name, or a report's number (all)")
    add_common_options(parser)
    options = parser.parse_args(arguments)
    for wanted in options.experiments:
        if not any(matches(wanted, experiment) for experiment in GRADIENT_CHECKS):
            parser.error(f"unknown experiment {wanted!r}; choose from {', '.join(e.name for e in GRADIENT_CHECKS)}")
    chosen = [e for e in GRADIENT_CHECKS if not options.experiments or any(matches(w, e) for w in options.experiments)]
    images = data.load(options.data, options.data_dir, seed=options.seed)
    console = Console(stderr=True)
    results = [run_gradient_check(e, images, options.seed) for e in track(chosen, "", console=console, transient=True)]
    print(gradient_check_table(chosen, results))
    return 0 if all(result.ours.verdict == "pass" for result in results) else 1


def matches(wanted, experiment):
    return wanted in (experiment.name, experiment.name.partition("-")[0])


if __name__ == "__main__":
    run(main)
