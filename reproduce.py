#!/usr/bin/env python3
"""The five reports again: their gradient checks by their own protocols, and trainings as the course specifies them."""

from dataclasses import replace

from commands import (
    EXIT_CODES,
    Parser,
    add_common_options,
    device_of,
    find_device,
    interruptible,
    progress_bar,
    run,
    verified,
)
from errors import UserError
from gradcheck import overall
from reporting.tables import gradient_check_table, show
from reporting.training import training_table
from reports.experiments import GRADIENT_CHECKS, TRAININGS
from reports.run import run_gradient_check
from training import data
from training.run import Run, fitted, load_images
from training.run_folder import RunFolder

EXAMPLES = """\
examples:
  python reproduce.py --data cifar10             all of them, on the images that the reports used
  python reproduce.py --data cifar10 gradcheck   the gradient checks alone
  python reproduce.py --data cifar10 004         all of report 004
  python reproduce.py --data cifar10 000-fig3    this one
  python reproduce.py --data cifar10 --table     the table of the trainings that are in results/
  python reproduce.py --data cifar10 --results mine      train all of them anew, in a folder of your own

A training that was stopped goes on where it was, a finished one is kept.
exit codes: those of compare.py, for our check of each gradient (the last column of the trainings' table changes none);
1 also where a training diverged; 130 stopped by Ctrl-C
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
    runs = {(experiment.name, twin): training_of(experiment, twin, options) for experiment in trainings for twin in TWINS}
    code = 0
    if not options.table:
        for settings, folder in runs.values():
            check_kept(settings, folder)
        code = check_gradients(checks, options) if checks else 0
        with interruptible() as stopped, progress_bar() as bar:
            task = bar.add_task("", total=len(runs))
            for (name, twin), (settings, folder) in runs.items():
                bar.update(task, description=f"{name} {twin}")
                if not folder.read_result() and not train(settings, folder, stopped):
                    return EXIT_CODES["fail"]
                if not folder.read_result():
                    raise KeyboardInterrupt
                bar.advance(task)
    if trainings:
        results = [{twin: runs[e.name, twin][1].read_result() for twin in TWINS} for e in trainings]
        if all(None in found.values() for found in results):
            raise UserError(
                f"no training is finished by both twins in {options.results}/{options.data}; leave out --table to train"
            )
        print(training_table(trainings, results))
    return code


def matches(wanted, experiment):
    return wanted == experiment.name or wanted in experiment.name.split("-")


def is_chosen(experiment, options):
    return not options.experiments or any(matches(wanted, experiment) for wanted in options.experiments)


def check_gradients(checks, options):
    """Prints the table of the reports' gradient checks. Returns the exit code."""
    images = data.load(options.data, options.data_dir, seed=options.seed)
    with progress_bar() as bar:
        results = [
            run_gradient_check(experiment, images, options.seed, find_device(options.device))
            for experiment in bar.track(checks, description="gradient checks")
        ]
    show(gradient_check_table(checks, results))
    return EXIT_CODES[overall(result.ours.verdict for result in results)]


def training_of(experiment, twin, options):
    """The settings and the folder of a training by one twin: a folder for each data set and seed."""
    settings = replace(experiment.settings, implementation=twin, seed=options.seed, device=options.device)
    seed = f"-seed{options.seed}" if options.seed else ""
    folder = RunFolder(f"{options.results}/{options.data}/{experiment.name}-{twin}{seed}")
    return replace(settings, data=options.data, data_dir=options.data_dir), folder


def check_kept(settings, folder):
    """Raises UserError where the folder holds a run with other settings than these."""
    if folder.config.exists():
        kept = folder.settings()
        if replace(settings, network=kept.network, images=kept.images, fingerprint=kept.fingerprint).trained != kept.trained:
            raise UserError(f"{folder.path} holds a run with other settings; name another folder with --results, or delete it")


def train(settings, folder, stopped):
    """Trains, or goes on, until the end or `stopped()`. Returns whether the gradient was right."""
    images = load_images(settings)
    settings = fitted(settings, images)
    started = Run(settings, images, folder, device_of(settings))
    if not verified(started, quiet=True):
        return False
    folder.write_settings(settings)
    for _ in started.train(lambda lr, loss: None, stopped):
        pass
    return True


if __name__ == "__main__":
    run(main)
