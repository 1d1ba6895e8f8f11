"""A reproduction carried out: its remaining runs as tasks for several processes; what is finished is kept at once."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import cast

from lab.reports.gradient_check import GradientCheck
from lab.reports.gradient_check_task import GradientCheckTask
from lab.reports.pool import run_tasks
from lab.reports.provenance import commit, environment
from lab.reports.reproduction import MOST_PROCESSES, Reproduction
from lab.reports.request import RunKey
from lab.reports.result_forms import FinishedRun, TaskOutcome
from lab.reports.task import Task
from lab.reports.training_task import make_training_tasks
from lab.training.settings import Settings

# A run of a reproduction: the name of its experiment, and its key.
RunId = tuple[str, RunKey]


class Execution:
    """The tasks of a reproduction, and how many processes do them: `jobs`, or as many as are of use.

    `tasks` holds for each task the runs that each of its outcomes is for: experiments of equal settings share one.
    Raises UserError.
    """

    def __init__(self, reproduction: Reproduction, jobs: int | None = None) -> None:
        self.reproduction = reproduction
        # Where trainings keep what is needed to go on.
        self.unfinished = reproduction.results.path / ".unfinished"
        self.provenance = {"commit": commit(), "environment": environment()}
        self.tasks: dict[Task, list[list[RunId]]] = self._training_tasks() | self._gradient_check_tasks()
        # Processes share a GPU badly.
        on_gpu = any(task.device == "cuda" for task in self.tasks)
        useful = 1 if on_gpu else min(os.cpu_count() or 1, MOST_PROCESSES)
        self.processes = max(1, min(jobs or useful, len(self.tasks)))

    @property
    def work(self) -> float:
        """How long it takes, in the units of `Task.work`."""
        return sum(task.work for task in self.tasks)

    def _training_tasks(self) -> dict[Task, list[list[RunId]]]:
        runs: dict[tuple[Settings, tuple[str, ...]], list[RunId]] = {}
        for name, remaining in self.reproduction.remaining.items():
            record = self.reproduction.experiments[name].record
            for key, settings in remaining.items():
                if isinstance(settings, Settings):
                    runs.setdefault((settings, record), []).append((name, key))
        tasks = make_training_tasks(runs, self.unfinished)
        return {task: [runs[settings, task.record] for settings in task.trainings] for task in tasks}

    def _gradient_check_tasks(self) -> dict[Task, list[list[RunId]]]:
        request = self.reproduction.request
        device = "cuda" if request.device == "cuda" else "cpu"
        tasks: dict[Task, list[list[RunId]]] = {}
        for name, remaining in self.reproduction.remaining.items():
            for key, settings in remaining.items():
                if isinstance(settings, GradientCheck):
                    task = GradientCheckTask(settings, key.seed, request.data, request.data_dir, device)
                    tasks.setdefault(task, [[]])[0].append((name, key))
        return tasks

    def carry_out(self, advance: Callable[[float], None], stopped: Callable[[], bool]) -> Iterator[Task]:
        """Does the tasks, and yields each that is done; ends early once `stopped()`. What is finished is kept at once.

        `advance(units)` is called as the work goes on. Raises UserError, and WrongGradient where a network is not trained
        because its gradient is wrong.
        """
        for task, outcomes in run_tasks(list(self.tasks), self.processes, advance, stopped):
            if outcomes is None:
                continue
            for runs, outcome in zip(self.tasks[task], outcomes, strict=True):
                for name, key in runs:
                    self.reproduction.keep(name, key, self._run(name, key, outcome))
            task.discard_unfinished()
            yield task
        if self.reproduction.is_whole and not self.reproduction.experiments_remaining:
            shutil.rmtree(self.unfinished, ignore_errors=True)

    def _run(self, name: str, key: RunKey, outcome: TaskOutcome) -> FinishedRun:
        """The finished run as its JSON has it."""
        reproduction, request = self.reproduction, self.reproduction.request
        run_form = {
            "column": key.column,
            "implementation": key.implementation,
            "seed": key.seed,
            "settings": request.identity(reproduction.remaining[name][key], key.seed),
            "command": request.command(reproduction.experiments[name], key),
        }
        return cast(FinishedRun, {**run_form, **outcome, **self.provenance})
