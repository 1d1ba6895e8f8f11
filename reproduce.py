#!/usr/bin/env python3
"""The five reports again: their gradient checks by their own protocols, and trainings as the course specifies them."""

from dataclasses import replace

from commands import EXIT_CODES, Parser, add_common_options, device_of, find_device, interruptible, progress_bar, run
from gradcheck import overall
from reporting.tables import gradient_check_table, show
from reporting.training import training_table
from reports.experiments import GRADIENT_CHECKS, TRAININGS
from reports.run import run_gradient_check, run_training, training_folder
from training import data
from training.run import load_images

EXAMPLES = """\
examples:
  python reproduce.py --data cifar10             all of them, on the images that the reports used
  python reproduce.py --data cifar10 gradcheck   the gradient checks alone
  python reproduce.py --data cifar10 004         all of report 004
  python reproduce.py --data cifar10 000-fig3    this one
  python reproduce.py --table                    the table of the trainings that are in results/

A training that was stopped goes on where it was, a finished one is kept.
exit codes: those of compare.py, for our check of each gradient; 130 stopped by Ctrl-C
"""

TWINS = ("manual", "torch")


def parse(arguments):
    parser = Parser(__doc__, EXAMPLES)
    parser.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="a name or a part of one, as 004 or gradcheck (all)"
    )
    parser.add_argument("--results", default="results", metavar="DIR", help="where trainings are kept (results)")
    parser.add_argument("--table", action="store_true", help="train nothing: the table of the trainings that are kept")
    add_common_options(parser)
    options = parser.parse_args(arguments)
    for wanted in options.experiments:
        if not any(matches(wanted, experiment) for experiment in GRADIENT_CHECKS + TRAININGS):
            known = ", ".join(experiment.name for experiment in GRADIENT_CHECKS + TRAININGS)
            parser.error(f"unknown experiment {wanted!r}; choose from {known}")
    return options


def main(arguments):
    options = parse(arguments)
    checks, trainings = ([e for e in kind if is_chosen(e, options)] for kind in (GRADIENT_CHECKS, TRAININGS))
    code = 0
    if not options.table:
        with interruptible() as stopped, progress_bar() as bar:
            task = bar.add_task("", total=len(checks) + len(trainings))
            results = []
            for experiment in checks:
                bar.update(task, description=experiment.name)
                images = data.load(options.data, options.data_dir, seed=options.seed)
                results.append(run_gradient_check(experiment, images, options.seed, find_device(options.device)))
                bar.advance(task)
            for experiment in trainings:
                bar.update(task, description=experiment.name)
                if not all(train_one(experiment, twin, options, stopped) for twin in TWINS):
                    raise KeyboardInterrupt
                bar.advance(task)
        if checks:
            show(gradient_check_table(checks, results))
            code = EXIT_CODES[overall(result.ours.verdict for result in results)]
    if trainings:
        folders = [{twin: training_folder(options.results, e, twin) for twin in TWINS} for e in trainings]
        print(training_table(trainings, [{twin: run.read_result() for twin, run in each.items()} for each in folders]))
    return code


def matches(wanted, experiment):
    return wanted == experiment.name or wanted in experiment.name.split("-")


def is_chosen(experiment, options):
    return not options.experiments or any(matches(wanted, experiment) for wanted in options.experiments)


def train_one(experiment, twin, options, stopped):
    """The result of that twin's training, or None if `stopped()`."""
    settings = replace(experiment.settings, implementation=twin, data=options.data, data_dir=options.data_dir)
    settings = replace(settings, seed=options.seed, device=options.device)
    images = load_images(settings)
    settings = replace(settings, images=len(images.train.labels))
    return run_training(settings, images, training_folder(options.results, experiment, twin), device_of(settings), stopped)


if __name__ == "__main__":
    run(main)
