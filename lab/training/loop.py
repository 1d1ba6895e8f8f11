"""The training loop, the same one for twins side by side and for a stack of candidates."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from gradcheck.errors import ReportedError
from lab.training.evaluation import overflow_allowed
from lab.training.settings import TrainingPlan

# A cost past this has diverged, though it is still finite.
LARGEST_COST = 1e6

# What is measured at a record, as JSON; "update" is the number of updates done.
Row = dict[str, Any]


class Diverged(ReportedError):
    """The cost has left all bounds; the message says where."""


@dataclass
class Progress:
    """Where a training is: the number of updates done, and the seconds that "updates" and "records" have taken so far."""

    update: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"updates": 0.0, "records": 0.0})

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Adds the seconds that pass inside to those of `kind`."""
        started = time.perf_counter()
        yield
        self.seconds[kind] += time.perf_counter() - started


class Training(Protocol):
    """What the loop trains. Its methods find the number of updates done in `progress`, which the loop moves along."""

    plan: TrainingPlan
    progress: Progress

    def take_update(self) -> None:
        """Takes the next update. A run raises Diverged; a stack notes which candidates have diverged."""

    def record(self) -> Row:
        """Measures, and returns the row. A run raises Diverged; a stack notes which candidates have diverged."""


def train(training: Training, advance: Callable[[], None], stopped: Callable[[], bool]) -> Iterator[Row]:
    """Takes updates until the plan's end, and yields a row at each record: at update 0, every `plan.record_every`, the last.

    A training that goes on has the record of its update behind it, but for update 0, whose record comes again. `advance()` is
    called after each update; once `stopped()` is true after an update, the loop ends with the record that is due there, if any.
    """
    plan, progress = training.plan, training.progress
    if progress.update == 0:
        yield timed_record(training)
    while progress.update < plan.updates:
        with progress.timed("updates"), overflow_allowed():
            training.take_update()
        progress.update += 1
        advance()
        stop = stopped()
        if plan.is_due(progress.update):
            yield timed_record(training)
        if stop:
            return


def timed_record(training: Training) -> Row:
    with training.progress.timed("records"):
        return training.record()
