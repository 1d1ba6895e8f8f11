"""The work of reproduce.py: what is not finished, in tasks for several processes, each result kept as soon as it is there."""

import os
import platform
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from gradcheck.errors import UserError
from lab.reports import pool
from lab.reports.work import Check, stacks

MOST_PROCESSES = 8


class Reproduction:
    """The runs of `experiments` that `order` asks for and `results` does not hold: `left`, by name and key.

    `tasks` are those that make them, each with the (name, key) of the runs that its results are; `changed` tells whether any
    file of the results was written.

    Raises UserError.
    """

    def __init__(self, experiments, catalogue, order, results):
        self.experiments = {each.name: each for each in experiments}
        self.catalogue, self.order, self.results = catalogue, order, results
        self.asked = {each.name: order.runs(each) for each in experiments}
        self.left = {
            name: {key: asked for key, asked in runs.items() if key not in fitting}
            for name, runs in self.asked.items()
            for fitting in [self._fitting(name)]
        }
        self.tasks, self.changed = {}, False

    def _fitting(self, name):
        """The kept runs of an experiment that are what is asked for today, by key. Raises UserError where others' are there."""
        kept = self.results.kept(name)
        for run in kept.values():
            if run["settings"]["data"] != self.order.data:
                raise UserError(
                    f"{self.results.file(name)} holds runs on {run['settings']['data']} images, not {self.order.data}; "
                    f"name another folder with --results"
                )
        return {key: run for key, run in kept.items() if self.order.fits(self.experiments[name], key, run)}

    @property
    def experiments_left(self):
        return sum(bool(runs) for runs in self.left.values())

    def finished(self, name):
        """(how many runs are finished, how many are asked for)."""
        return len(self.asked[name]) - len(self.left[name]), len(self.asked[name])

    def begin(self, device_of, jobs):
        """Makes the tasks. Returns the work to do, in units, and how many processes shall do it."""
        for name in self.experiments:
            if kept := self.results.kept(name):
                self._write(name, kept)  # as it is described today
        users, checks = defaultdict(list), {}
        for name, runs in self.left.items():
            for key, asked in runs.items():
                if self.experiments[name].trains:
                    users[asked, self.experiments[name].record].append((name, key))
                else:
                    device = "cuda" if self.order.device == "cuda" else "cpu"
                    task = Check(asked, key[2], self.order.data, self.order.data_dir, device)
                    checks.setdefault(task, [[]])[0].append((name, key))
        trainings = stacks(list(users), device_of, self.unfinished)
        self.tasks = {stack: [users[settings, stack.record] for settings in stack.trainings] for stack in trainings} | checks
        # A GPU is shared badly, cores are not.
        most = 1 if any(task.device == "cuda" for task in self.tasks) else min(os.cpu_count() or 1, MOST_PROCESSES)
        return sum(task.work for task in self.tasks), max(1, min(jobs or most, len(self.tasks)))

    @property
    def unfinished(self):
        """Where stacks that were stopped wait to go on."""
        return self.results.path / ".unfinished"

    def work(self, processes, tell, stopped):
        """Does it, and yields each task that ends; ends early once `stopped()`. What is finished is kept at once."""
        made = {"commit": commit(), "environment": environment()}
        for task, results in pool.done(list(self.tasks), processes, tell, stopped):
            if results is None:
                continue
            for users, result in zip(self.tasks[task], results, strict=True):
                for name, key in users:
                    self._keep(name, key, result | made)
            task.forget()
            yield task
        if not any(self.left.values()) and len(self.experiments) == len(self.catalogue.experiments):
            shutil.rmtree(self.unfinished, ignore_errors=True)

    def _keep(self, name, key, result):
        """Writes a finished run in place of what no longer fits: with its weights only where a figure shows them."""
        experiment, (column, implementation, seed) = self.experiments[name], key
        asked = self.order.identity(self.left[name].pop(key), seed)
        about = {"column": column, "implementation": implementation, "seed": seed, "settings": asked}
        about["command"] = self.order.command(experiment, key)
        unseen = set() if self.catalogue.shows_weights(name) and seed == self.order.seed else {"W1"}
        run = about | {quantity: value for quantity, value in result.items() if quantity not in unseen}
        self._write(name, self._fitting(name) | {key: run})

    def _write(self, name, runs):
        self.changed |= self.results.keep(self.experiments[name], runs)


def commit():
    """The commit that is checked out, with + where the code differs from it; None where there is no git."""

    def git(*words):
        folder = Path(__file__).parents[2]
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "*.py", "*.toml")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def environment():
    """What computes here, as a dict for JSON."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return versions | {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()} | gpu
