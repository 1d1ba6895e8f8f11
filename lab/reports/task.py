"""What a task of a reproduction is, and what it is told by the process that does it."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol

from gradcheck.result import NetworkResult
from lab.reports.result_forms import TaskOutcome


@dataclass
class Worker:
    """The side of a process that its tasks see.

    `advance(units)` reports work that is done, in the units of `Task.work`; once `stopped()` is true a task ends early.
    `verified` holds the gradients that this process has verified, so that it need not verify them again.
    """

    advance: Callable[[float], None]
    stopped: Callable[[], bool]
    verified: set[Hashable] = field(default_factory=set)


class Task(Protocol):
    """A task, hashable, and pickled to reach the process that does it. Its text says what it is."""

    @property
    def work(self) -> float:
        """How long it takes, in units that all tasks share."""
        ...

    @property
    def device(self) -> str:
        """Where it computes: "cpu" or "cuda"."""
        ...

    def __call__(self, worker: Worker) -> list[TaskOutcome] | None:
        """Does it: one outcome for each of its runs, or None where it was stopped before its end."""
        ...

    def discard_unfinished(self) -> None:
        """Deletes what it kept to go on with, once its outcomes are on disk."""
        ...


class WrongGradient(Exception):
    """The gradient of a network is wrong; `network` is what our check found."""

    def __init__(self, network: NetworkResult) -> None:
        super().__init__(network)
        self.network = network
