"""One network trained by one twin, or by both side by side on the same batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.training.batches import Batches
from lab.training.device_data import DeviceData
from lab.training.drift import measure_drift
from lab.training.evaluation import evaluate
from lab.training.loop import LARGEST_COST, Diverged, Progress, Row
from lab.training.settings import TrainingPlan
from lab.twins import State, TrainingTwin

# Validation images on which two twins are compared.
DRIFT_IMAGES = 1000


@dataclass(frozen=True)
class Learner:
    """A twin to train, with the training and validation parts where it computes."""

    twin: TrainingTwin
    train: DeviceData
    val: DeviceData


class SideBySideTraining:
    """A `loop.Training` of `learners`, one or two, by the name of their twin; `lam` holds one lambda a layer.

    `loss` is that of the last batch, before its update, of the first twin.
    """

    def __init__(
        self, learners: dict[str, Learner], batches: Batches, plan: TrainingPlan, lam: Sequence[float], progress: Progress
    ) -> None:
        self.learners, self.batches, self.plan, self.lam, self.progress = learners, batches, plan, lam, progress
        self.loss = np.nan

    def take_update(self) -> None:
        t = self.progress.update
        rows, flipped = self.batches.at(t)
        losses = []
        for name, learner in self.learners.items():
            X, y = learner.twin.batch(*learner.train, rows, flipped)
            loss, cost = learner.twin.train_step(X, y, self.lam, self.plan.lr(t))
            self._check_cost(name, loss, cost)
            losses.append(loss)
        self.loss = losses[0]

    def record(self) -> Row:
        """A row of metrics.jsonl: the first twin at the top, a second one under its name, and how far the two have drifted."""
        t, measured = self.progress.update, {}
        for name, learner in self.learners.items():
            parts = {"train": learner.train, "val": learner.val}
            measured[name] = {part: measures(learner.twin, data, self.lam) for part, data in parts.items()}
            for found in measured[name].values():
                self._check_cost(name, found["loss"], found["cost"])
        implementation = "both" if len(self.learners) == 2 else next(iter(self.learners))
        row: Row = {"implementation": implementation, "update": t, "epoch": t / self.plan.per_epoch, "lr": self.plan.lr(t)}
        row |= {"seconds": self.progress.total_seconds} | first_at_top(measured)
        if len(self.learners) == 2:
            costs = [parts["train"]["cost"] for parts in measured.values()]
            row["drift"] = measure_drift([(each.twin, each.val.X[:DRIFT_IMAGES]) for each in self.learners.values()], costs)
        return row

    def states(self) -> dict[str, State]:
        """The state of each twin, by its name."""
        return {name: learner.twin.state() for name, learner in self.learners.items()}

    def _check_cost(self, name: str, loss: float, cost: float) -> None:
        """Raises Diverged where the loss is not finite, or the cost is past its bound."""
        if not (np.isfinite(loss) and cost <= LARGEST_COST):
            t = self.progress.update
            raise Diverged(
                f"the {name} twin diverged at update {t}, lr {self.plan.lr(t):.3g}: loss {loss:.3g}, cost {cost:.3g}; "
                f"a smaller learning rate or lambda, or other initial weights, may do"
            )


def measures(twin: TrainingTwin, data: DeviceData, lam: Sequence[float]) -> dict[str, float]:
    """Loss, cost and accuracy of a whole part, as a dict."""
    return evaluate(twin, data, lam)._asdict()


def first_at_top(by_twin: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The dict of the first twin, and in it that of the second, if there is one, under the second's name."""
    (_, first), *rest = by_twin.items()
    return first | dict(rest)
