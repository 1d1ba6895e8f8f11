"""Trainings that are done at once, in a stack, as one task of a reproduction."""

import base64
import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.errors import UserError
from gradcheck.report.files import make_folder
from lab import twins
from lab.data.parts import PARTS, Data
from lab.reports.result_forms import MeasureColumns, Rows, TaskOutcome, TrainingOutcome
from lab.reports.task import Worker, WrongGradient
from lab.training import checkpoint
from lab.training.checkpoint import StackCheckpoint
from lab.training.device_data import DeviceData
from lab.training.evaluation import BINS, true_class_histogram
from lab.training.run import load_images, resolve_settings, verify_first_batch
from lab.training.settings import Settings, device_of, training_plan
from lab.training.stacked import StackedTraining, stacking_key
from networks import NAMED

# More trainings in a stack are no faster, and the stacks of two processes still fit the memory of a small machine.
LARGEST_STACK = 12
# The numbers of CIFAR-10's training images, to tell how long a training takes before they are loaded.
TRAINING_IMAGES = {"small": 10_000, "45000": 45_000, "49000": 49_000}
# Progress is reported each time that so many updates are done.
UPDATES_PER_REPORT = 20


@dataclass(frozen=True)
class TrainingTask:
    """Trainings with the same `stacking_key`, at whose records the parts `record` of the data are measured.

    It keeps what is needed to go on in the file `unfinished`, and goes on from there. See `Task`.
    """

    trainings: tuple[Settings, ...]
    record: tuple[str, ...]
    device: str
    unfinished: Path

    @property
    def work(self) -> float:
        first = self.trainings[0]
        images = first.images or TRAINING_IMAGES.get(first.split, 10_000)
        return training_plan(first, images).updates * self._work_per_update

    @property
    def _work_per_update(self) -> float:
        first = self.trainings[0]
        size = first.network.parameter_count * first.batch_size / 1e6 + len(first.network.hidden) + 2
        return len(self.trainings) * (2 if first.implementation == "torch" else 1) * size

    def __str__(self) -> str:
        first = self.trainings[0]
        return f"{first.network.name} {first.implementation}, {len(self.trainings)} at once"

    def __call__(self, worker: Worker) -> list[TaskOutcome] | None:
        """See `Task`. Raises WrongGradient before anything is trained whose gradient is wrong, and UserError."""
        images = images_of(self.trainings[0])
        candidates = [resolve_settings(settings, images) for settings in self.trainings]
        training = StackedTraining(candidates, self.device, self.record)
        states = training.stack.states()
        self._verify(candidates, states, images, worker)
        self._resume(training)
        worker.advance(training.update * self._work_per_update)
        data = training.to_device(images, PARTS)

        def advance() -> None:
            if training.update % UPDATES_PER_REPORT == 0:
                worker.advance(UPDATES_PER_REPORT * self._work_per_update)

        for _ in training.train(data, advance, worker.stopped):
            self._save(training)
        if not training.ended:
            self._save(training)
            return None
        return [
            training_outcome(result, settings, state, data["test"], self.device)
            for result, settings, state in zip(training.results(), candidates, training.stack.states(), strict=True)
        ]

    def _verify(self, candidates: Sequence[Settings], states: Sequence[twins.State], images: Data, worker: Worker) -> None:
        """Verifies the gradient at the largest lambda, where a wrong penalty shows. Raises WrongGradient.

        A process does it once for each network, implementation, dtype and kind of penalty: none, or one for all layers, or
        one a layer.
        """
        settings, state = max(zip(candidates, states, strict=True), key=lambda pair: np.max(pair[0].lam))
        penalty = bool(np.any(settings.lam)), np.ndim(settings.lam)
        question = settings.network, settings.implementation, settings.dtype, penalty
        if question in worker.verified:
            return
        result = verify_first_batch(settings, state, images, self.device, lambda entries: None, candidates)
        if result.verdict == "fail":
            raise WrongGradient(result.as_json())
        worker.verified.add(question)

    def _resume(self, training: StackedTraining) -> None:
        """Goes on from the file, unless it is damaged, or was made with other images."""
        if self.unfinished.exists():
            with contextlib.suppress(UserError):
                training.resume(checkpoint.read(self.unfinished, StackCheckpoint))

    def _save(self, training: StackedTraining) -> None:
        make_folder(self.unfinished.parent, "name another with --results")
        checkpoint.write(self.unfinished, training.checkpoint())

    def discard_unfinished(self) -> None:
        self.unfinished.unlink(missing_ok=True)


def make_training_tasks(trainings: Iterable[tuple[Settings, tuple[str, ...]]], folder: Path) -> list[TrainingTask]:
    """Tasks for trainings, each with the parts of the data that are recorded; the longest task first.

    `folder` is where they keep what is unfinished. Equal trainings are done once.
    """
    stacks: dict[tuple[Settings, tuple[str, ...]], list[Settings]] = {}
    for settings, record in dict.fromkeys(trainings):
        stacks.setdefault((stacking_key(settings), record), []).append(settings)
    tasks = []
    for (_, record), members in stacks.items():
        for start in range(0, len(members), LARGEST_STACK):
            stack = tuple(members[start : start + LARGEST_STACK])
            name = hashlib.sha256(repr((stack, record)).encode()).hexdigest()[:16]
            tasks.append(TrainingTask(stack, record, device_of(stack[0]), folder / f"{name}.safetensors"))
    return sorted(tasks, key=lambda task: -task.work)


def images_of(settings: Settings) -> Data:
    """The images that a training sees. A process keeps those of the last two, for the next stack. Raises UserError."""
    seed = settings.seed if settings.data == "synthetic" else 0  # no other images depend on it
    s = settings
    return cached_images(s.data, s.data_dir, s.split, s.images, s.normalise, seed)


@lru_cache(maxsize=2)
def cached_images(data: str, data_dir: str, split: str, images: int | None, normalise: str, seed: int) -> Data:
    network = NAMED["one-layer"]  # any: the images do not depend on it
    return load_images(
        Settings(network, data=data, data_dir=data_dir, split=split, images=images, normalise=normalise, seed=seed)
    )


def training_outcome(
    result: dict[str, Any], settings: Settings, state: twins.State, test: DeviceData, device: str
) -> TrainingOutcome:
    """A finished training as its JSON has it: `result` of StackedTraining, with its rows as columns, and what figures show.

    `state` is that of the network at the end, `test` the test part on `device`.
    """
    outcome: TrainingOutcome = {
        "diverged": result["diverged"],
        "seconds": round(result["seconds"], 3),
        "train": result["train"],
        "val": result["val"],
        "test": result["test"],
        "rows": as_columns(result["rows"]),
    }
    if outcome["diverged"] is None:
        twin = twins.training_twin(settings.implementation, settings.network, state, settings.dtype, device)
        counts = true_class_histogram(twin, test)
        outcome["probability_of_true_class"] = {"bins": BINS, "right": counts["right"], "wrong": counts["wrong"]}
        if settings.network.depth == 1 and settings.implementation == "manual":
            outcome["W1"] = base64.b64encode(as_bytes(state["W1"]).tobytes()).decode()
    return outcome


def as_columns(rows: list[dict[str, Any]]) -> Rows:
    """The records of a training as lists by what was measured, to six digits."""
    columns: Rows = {"update": [row["update"] for row in rows]}
    first = rows[0] if rows else {}
    if "train" in first:
        columns["train"] = measure_columns([row["train"] for row in rows])
    if "val" in first:
        columns["val"] = measure_columns([row["val"] for row in rows])
    if "test" in first:
        columns["test"] = measure_columns([row["test"] for row in rows])
    return columns


def measure_columns(measures: list[dict[str, float]]) -> MeasureColumns:
    return {name: [float(f"{each[name]:.6g}") for each in measures] for name in measures[0]}


def as_bytes(W: np.ndarray) -> np.ndarray:
    """W (K, d) as uint8 (K, d), each row over its own full range: what an image of it shows."""
    low, high = W.min(axis=1, keepdims=True), W.max(axis=1, keepdims=True)  # (K, 1) each
    return np.rint(255 * (W - low) / np.where(high > low, high - low, 1)).astype(np.uint8)
