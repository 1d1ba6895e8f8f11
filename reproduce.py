#!/usr/bin/env python3
"""The gradient checks of the five reports again: each report's own protocol on our gradient, beside ours."""

from rich.console import Console
from rich.progress import track

from commands import EXIT_CODES, Parser, add_common_options, find_device, run
from gradcheck import overall
from reporting.tables import gradient_check_table
from reports.experiments import GRADIENT_CHECKS
from reports.run import run_gradient_check
from training import data

EXAMPLES = """\
examples:
  python reproduce.py --data cifar10             all of them, on the images that the reports used
  python reproduce.py 003                        those of report 003
  python reproduce.py 004-gradcheck-3l           this one

exit codes: those of compare.py, for our check of each gradient
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
    device = find_device(options.device)
    images = data.load(options.data, options.data_dir, seed=options.seed)
    console = Console(stderr=True)
    results = [
        run_gradient_check(e, images, options.seed, device)
        for e in track(chosen, "", console=console, transient=True, disable=not console.is_terminal)
    ]
    print(gradient_check_table(chosen, results))
    return EXIT_CODES[overall(result.ours.verdict for result in results)]


def matches(wanted, experiment):
    return wanted in (experiment.name, experiment.name.partition("-")[0])


if __name__ == "__main__":
    run(main)
