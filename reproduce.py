#!/usr/bin/env python3
"""Every number of the five student reports again, by both twins on CIFAR-10, beside what the report has."""

import os
import platform
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import TextColumn

from commands import (
    EXIT_CODES,
    Parser,
    add_common_options,
    device_of,
    find_device,
    interruptible,
    progress_bar,
    run,
    whole_number,
)
from errors import UserError
from gradcheck import overall
from reporting.reproduction import experiments_table, headline, list_table
from reporting.reproduction_pages import write_pages
from reporting.tables import comparison_summary, network_table, show
from reports import catalogue, pool
from reports.results import Results, identity, runs_of
from reports.work import Check, WrongGradient, stacks

EXAMPLES = """\
examples:
  python reproduce.py                        everything that results/ does not have yet, then its tables and pages
  python reproduce.py 004                    report 004
  python reproduce.py 000-fig3 004-9l-bn     these two; a part of a name will do: gradcheck, 004-sens
  python reproduce.py --list                 what there is, and what is finished
  python reproduce.py --results mine         all anew, in a folder of your own
  python reproduce.py --quick                every experiment for a few updates on synthetic images
  python reproduce.py --pages                train nothing: README.md, index.html and figures from the JSON that is there

What is finished is kept, and runs again only where its settings changed; what was stopped goes on where it was.
exit codes: 0 done, 1 a gradient is wrong, 2 could not run, 3 undecided entries in a gradient check, 130 stopped by Ctrl-C
"""

TWINS = ("manual", "torch")
MOST_PROCESSES = 8
# A pass that only shows that everything runs.
QUICK = {"updates": 20, "epochs": None, "cycles": None, "step_size": 10, "images": 400, "batch_size": 100, "record_every": 10}


def parse(arguments):
    parser = Parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("experiments", nargs="*", metavar="EXPERIMENT", help="a report, a name of --list, or a part of one (all)")
    add("--list", action="store_true", help="the experiments, and what is finished")
    add("--pages", action="store_true", help="train nothing: write README.md, index.html and figures from the JSON files")
    add("--implementation", choices=(*TWINS, "both"), default="both", help="which twin trains (both)")
    add("--seeds", type=whole_number(1), metavar="K", help="seeds of each training (1; 3 for the headline rows as specified)")
    add("--quick", action="store_true", help="a few updates of each on synthetic images, in runs/reproduce-quick")
    add(
        "--jobs",
        type=whole_number(1),
        metavar="N",
        help=f"processes at work (one a core, up to {MOST_PROCESSES}; one with CUDA)",
    )
    add("--results", metavar="DIR", help="where the JSON files and pages are (results; runs/reproduce-DATA for other data)")
    add_common_options(parser)
    parser.set_defaults(data=None)
    options = parser.parse_args(arguments)
    if options.quick and options.data not in (None, "synthetic"):
        parser.error("--quick trains on synthetic images; drop --data")
    if options.pages and options.experiments:
        parser.error("--pages writes the pages of all that is there; name no experiment")
    options.data = options.data or ("synthetic" if options.quick else "cifar10")
    options.twins = TWINS if options.implementation == "both" else (options.implementation,)
    kind = "quick" if options.quick else options.data
    options.results = Results(options.results or ("results" if kind == "cifar10" else f"runs/reproduce-{kind}"))
    find_device(options.device)
    return options


def main(arguments):
    options = parse(arguments)
    book = catalogue.read()
    experiments = catalogue.chosen(book, options.experiments)
    if options.quick:
        experiments = [shortened(each) for each in experiments]
    if options.list:
        show(list_table(experiments, {each.name: unfinished(each, options) for each in experiments}))
        return 0
    try:
        code = 0 if options.pages else reproduce(experiments, book, options)
    except WrongGradient as wrong:
        (found,) = wrong.args
        show(network_table(found), *comparison_summary({"networks": [found], **found}))
        print(f"reproduce.py: {found['name']} is not trained: its gradient is wrong", file=sys.stderr)
        return EXIT_CODES["fail"]
    contents = [options.results.read(name) for name in book.experiments]
    contents = [content for content in contents if content]
    if not contents:
        raise UserError(f"{options.results.path} holds no results; run without --pages to make them")
    pages = write_pages(options.results.path, contents, book)
    chosen = {each.name for each in experiments}
    shown = [content for content in contents if content["name"] in chosen]
    show(experiments_table(shown), headline(shown))
    show(f"{options.results.path}: {', '.join(pages)}")
    return code


def shortened(experiment):
    quick = {k: replace(v, **QUICK) if experiment.trains else v for k, v in experiment.columns.items()}
    return replace(experiment, columns=quick, seeds=1)


def unfinished(experiment, options):
    """Those of its runs that are asked for and not kept, by key; and how many are asked for."""
    asked = dict(runs_of(experiment, options.twins, options.seeds, options))
    kept = options.results.kept(experiment)
    done = {key for key, run in kept.items() if key in asked and run["settings"] == identity(asked[key], key[2], options.data)}
    return {key: each for key, each in asked.items() if key not in done}, len(asked)


def reproduce(experiments, book, options):
    """Does what is not finished, and writes each experiment's file as soon as there is more of it. Returns the exit code."""
    by_name = {each.name: each for each in experiments}
    left = {each.name: unfinished(each, options)[0] for each in experiments}
    for each in experiments:
        kept = options.results.kept(each)
        options.results.keep(each, {key: run for key, run in kept.items() if key not in left[each.name]})
    tasks = tasks_for(by_name, left, options)
    made = {"commit": commit(), "environment": environment()}
    with interruptible() as stopped, progress_bar(TextColumn("{task.fields[experiments]} experiments left")) as bar:
        line = bar.add_task("training", total=sum(task.work for task in tasks), experiments=sum(map(bool, left.values())))
        for task, results in pool.done(list(tasks), processes(tasks, options), lambda work: bar.advance(line, work), stopped):
            for users, result in zip(tasks[task], results or [], strict=bool(results)):
                for name, key in users:
                    options.results.add(
                        by_name[name], key, finished(by_name[name], key, left[name].pop(key), result, book, options) | made
                    )
            bar.update(line, experiments=sum(map(bool, left.values())))
            if bar.disable and results:
                print(f"{task}: done; {sum(map(bool, left.values()))} of {len(left)} experiments left", file=sys.stderr)
    if any(left.values()):
        raise KeyboardInterrupt
    checks = [run["verdict"] for each in experiments if not each.trains for run in options.results.kept(each).values()]
    return EXIT_CODES[overall(checks)] if checks else 0


def tasks_for(by_name, left, options):
    """The tasks, longest first, each with the (name, key) of the runs that each of its results is."""
    users, checks = defaultdict(list), {}
    for name, runs in left.items():
        for key, asked in runs.items():
            if by_name[name].trains:
                users[asked, by_name[name].record].append((name, key))
            else:
                task = Check(asked, key[2], options.data, options.data_dir, find_device(options.device))
                checks.setdefault(task, [[]])[0].append((name, key))
    trainings = stacks(list(users), device_of, options.results.path / ".unfinished")
    return {stack: [users[settings, stack.record] for settings in stack.trainings] for stack in trainings} | checks


def processes(tasks, options):
    """How many are at work: a GPU is shared badly, cores are not."""
    if any(task.device == "cuda" for task in tasks):
        return options.jobs or 1
    return min(options.jobs or min(os.cpu_count() or 1, MOST_PROCESSES), max(1, len(tasks)))


def finished(experiment, key, asked, result, book, options):
    """A run as its file keeps it: with its weights only where a figure shows them."""
    column, implementation, seed = key
    about = {"column": column, "implementation": implementation, "seed": seed}
    about |= {"settings": identity(asked, seed, options.data)}
    if experiment.trains:
        place = f" --data {options.data}" + (f" --seed {seed}" if seed else "")
        about["command"] = f"{experiment.commands[column]} --implementation {implementation}{place}"
    unseen = set() if book.shows_weights(experiment.name) else {"W1"}
    return about | {name: value for name, value in result.items() if name not in unseen}


def commit():
    """The commit that is checked out, with + where the code differs from it; None where there is no git."""
    folder = Path(__file__).parent
    try:
        git = lambda *words: subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout  # noqa: E731
        changed = git("status", "--porcelain", "--", "*.py", "*.toml")
        return git("rev-parse", "--short=12", "HEAD").strip() + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def environment():
    """What computes here, as a dict for JSON."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return versions | {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()} | gpu


if __name__ == "__main__":
    run(main)
