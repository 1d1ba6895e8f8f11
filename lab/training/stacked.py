"""Several candidates trained at once: stacked weights, one pass over the mini-batches.

A candidate is the Settings of a training run, and ends where `training/run.py` would have brought it alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import UserError
from lab import twins
from lab.data.parts import Data
from lab.training.checkpoint import StackCheckpoint
from lab.training.device_data import DeviceData, normalised_part, to_device
from lab.training.evaluation import evaluate
from lab.training.loop import LARGEST_COST, Progress, Row, train
from lab.training.run import batches_of
from lab.training.settings import Settings, training_plan
from lab.twins import State, TrainingStack
from networks import initial_state

# Loss, cost and accuracy of a candidate, or None once it has diverged.
Measures = dict[str, float] | None


def stacking_key(settings: Settings) -> Settings:
    """What has to be equal for candidates to be trained in one stack.

    They may differ in numbers, but neither in the shape of anything nor in the images that they are trained on.
    """
    return replace(settings, lam=0.0, lr=1.0, lr_max=1.0, init="he", init_bias=0.0)


class StackedTraining:
    """The candidates, Settings with the same `stacking_key`, at their initial weights; `train` takes them to the end.

    It is a `loop.Training`. At each record the parts named in `recorded` are measured: each of `rows` holds for each of them
    a list of measures, one a candidate. `diverged` holds for each candidate the update at which it did, or None.
    """

    def __init__(self, candidates: Sequence[Settings], device: str, recorded: Sequence[str] = ("val",)) -> None:
        first = candidates[0]
        plans = [training_plan(settings, settings.images) for settings in candidates]
        self.candidates, self.device, self.recorded = candidates, device, recorded
        self.plan, self.rates = plans[0], [plan.lr for plan in plans]
        self.lam = np.array([settings.lambdas for settings in candidates]).T  # (depth, C)
        self.stack = self._stack([initial_state(s.network, s.init, s.seed, s.init_bias) for s in candidates])
        self.batches = batches_of(first, self.plan)
        self.progress = Progress()
        self.rows: list[Row] = []
        self.diverged: list[int | None] = [None] * len(candidates)
        self.parts: dict[str, DeviceData] = {}
        self.ended_with: dict[str, list[Measures]] | None = None

    def _stack(self, states: Sequence[State]) -> TrainingStack:
        first = self.candidates[0]
        return twins.training_stack(first.implementation, first.network, states, first.dtype, self.device)

    @property
    def update(self) -> int:
        """The number of updates done."""
        return self.progress.update

    @property
    def ended(self) -> bool:
        return self.ended_with is not None

    def to_device(self, images: Data, parts: Sequence[str] = ("train", "val")) -> dict[str, DeviceData]:
        """Those parts of the images where this stack computes, by name; stacks of the same dtype may share them."""
        return {name: to_device(self.stack, normalised_part(images, name, self.candidates[0].dtype)) for name in parts}

    def train(self, parts: dict[str, DeviceData], advance: Callable[[], None], stopped: Callable[[], bool]) -> Iterator[Row]:
        """All updates that are left, on what `to_device` returned; yields each row as it is recorded.

        `advance()` is called after each update. Once `stopped()` is true after one, training ends, without results.
        """
        self.parts = parts
        yield from train(self, advance, stopped)
        if self.update == self.plan.updates:
            with self.progress.timed("records"):
                self.ended_with = {name: self._measures(name) for name in parts}

    def take_update(self) -> None:
        rows, flipped = self.batches.at(self.update)
        X, y = self.stack.batch(*self.parts["train"], rows, flipped)
        losses, costs = self.stack.train_step(X, y, self.lam, np.array([rate(self.update) for rate in self.rates]))
        self._note_diverged(losses, costs)

    def record(self) -> Row:
        measured = {name: self._measures(name) for name in self.recorded}
        self.rows.append({"update": self.update, "epoch": self.update / self.plan.per_epoch} | measured)
        return self.rows[-1]

    def results(self) -> list[dict[str, Any]]:
        """What each candidate ended with, as a dict for JSON: its rows, and the measures of each part, None if it diverged.

        `train` has to have come to its end.
        """
        assert self.ended_with is not None
        found = []
        for k, at in enumerate(self.diverged):
            own_rows = [row | {name: row[name][k] for name in self.recorded} for row in self.rows]
            rows = [row for row in own_rows if all(row[name] for name in self.recorded)]
            ended = {name: measures[k] if at is None else None for name, measures in self.ended_with.items()}
            found.append({"diverged": at, "rows": rows, "seconds": self.progress.total_seconds / len(self.diverged)} | ended)
        return found

    def checkpoint(self) -> StackCheckpoint:
        """All that is needed to go on, here or in another process."""
        states = {str(k): state for k, state in enumerate(self.stack.states())}
        done, generator = self.progress, self.batches.generator
        return StackCheckpoint(states, done.update, generator, done.seconds, self._description(), self.rows, self.diverged)

    def resume(self, checkpoint: StackCheckpoint) -> None:
        """Goes on where `checkpoint` was made. Raises UserError where other candidates made it."""
        if checkpoint.candidates != self._description():
            raise UserError("the checkpoint is of other candidates than these")
        if checkpoint.update == 0:
            return  # the record of update 0 comes again
        self.stack = self._stack([checkpoint.states[str(k)] for k in range(len(self.candidates))])
        self.batches.resume(checkpoint.update, checkpoint.generator)
        self.progress = Progress(checkpoint.update, checkpoint.seconds)
        self.rows, self.diverged = checkpoint.rows, checkpoint.diverged

    def _description(self) -> list[Any]:
        """What is trained and recorded, as the checkpoint says it."""
        return [list(self.recorded), *(repr(sorted(settings.trained.items())) for settings in self.candidates)]

    def _measures(self, part: str) -> list[Measures]:
        """The measures of each candidate at a part."""
        found = evaluate(self.stack, self.parts[part], self.lam)
        self._note_diverged(found.loss, found.cost)
        each = zip(*found, strict=True)
        return [
            dict(zip(found._fields, one, strict=True)) if at is None else None
            for one, at in zip(each, self.diverged, strict=True)
        ]

    def _note_diverged(self, losses: Array, costs: Array) -> None:
        """A candidate that has diverged is out; the others are not affected."""
        good = np.isfinite(losses) & (np.asarray(costs) <= LARGEST_COST)
        for k in np.flatnonzero(~good):
            if self.diverged[k] is None:
                self.diverged[k] = self.update
