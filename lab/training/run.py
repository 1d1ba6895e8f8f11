"""A training run from its settings: the data, the twins, the updates, what is recorded, and the end."""

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck import CheckResult
from gradcheck.arrays import Array
from gradcheck.errors import UserError
from gradcheck.subject import Advance
from lab import twins
from lab.data import datasets
from lab.data.parts import Data, Part
from lab.training import checkpoint
from lab.training.batches import Batches
from lab.training.checkpoint import RunCheckpoint
from lab.training.device_data import normalised_part, to_device
from lab.training.evaluation import BINS, true_class_histogram
from lab.training.loop import Diverged, Progress, Row, train
from lab.training.run_folder import RunFolder
from lab.training.settings import Settings, TrainingPlan, training_plan
from lab.training.side_by_side import Learner, SideBySideTraining, first_at_top, measures
from lab.training.verification import VERIFIED_IMAGES, verify, walk_before_training
from lab.twins import State
from networks import initial_state


class Run:
    """The training that `settings` ask for, begun in `folder` or continued from its checkpoint, on `device`, "cpu" or "cuda".

    Raises UserError where the images are not those of the settings, or the checkpoint is of another run.
    """

    def __init__(self, settings: Settings, images: Data, folder: RunFolder, device: str) -> None:
        self.settings, self.images, self.folder, self.device = settings, images, folder, device
        if resolve_settings(settings, images) != settings:
            raise UserError(f"{folder.path}: the data are not those that the run began with; put them back, or begin a new run")
        self.plan = training_plan(settings)
        self.batches = batches_of(settings, self.plan)
        start = folder.read_checkpoint()
        if start is None:
            state = initial_state(settings.network, settings.init, settings.seed, settings.init_bias)
            self.progress = Progress()
            self.states: dict[str, State] = dict.fromkeys(settings.twins, state)
            return
        if Settings.from_json(start.settings).trained != settings.trained:
            raise UserError(f"{folder.config} and {folder.checkpoint} are of different runs; put back the config.json")
        self.batches.resume(start.update, start.generator)
        self.progress = Progress(start.update, start.seconds)
        self.states = {name: start.state_for(name) for name in settings.twins}

    def verify(self, advance: Advance) -> CheckResult:
        """Our check of the gradient, and of a few updates, before the first one: see `training/verification.py`."""
        return verify_first_batch(self.settings, next(iter(self.states.values())), self.images, self.device, advance)

    def train(self, advance: Callable[[float, float], None], stopped: Callable[[], bool]) -> Iterator[Row]:
        """Trains to the end or until `stopped()`; yields the row of each record when it is on disk, with a checkpoint.

        `advance(lr, loss)` is called after each update. Raises Diverged, which says where the last good checkpoint is.
        """
        self.folder.tidy(self.progress.update, self.plan.record_every)
        training = self._training()

        def advance_with_loss() -> None:
            advance(self.plan.lr(self.progress.update - 1), training.loss)

        try:
            with twins.shared_cores(self.settings.twins):
                for row in train(training, advance_with_loss, stopped):
                    with self.progress.timed("records"):
                        # In this order: a row without its checkpoint is dropped when the run goes on; the reverse is a gap.
                        self.folder.append(row)
                        self._write_checkpoint(training)
                    yield row
                if not self.plan.is_due(self.progress.update):
                    with self.progress.timed("records"):
                        training.record()  # raises Diverged, so that no checkpoint holds what has diverged
        except Diverged as diverged:
            raise Diverged(f"{diverged}; {self.folder.last_checkpoint()}") from diverged
        if self.progress.update < self.plan.updates:
            self._write_checkpoint(training)
        else:
            self.folder.finish(self._result(training))

    def _training(self) -> SideBySideTraining:
        train_part, val_part = (normalised_part(self.images, name, self.settings.dtype) for name in ("train", "val"))
        learners = {}
        for name, state in self.states.items():
            twin = twins.training_twin(name, self.settings.network, state, self.settings.dtype, self.device)
            learners[name] = Learner(twin, to_device(twin, train_part), to_device(twin, val_part))
        return SideBySideTraining(learners, self.batches, self.plan, self.settings.lambdas, self.progress)

    def _write_checkpoint(self, training: SideBySideTraining) -> None:
        update, seconds, generator = self.progress.update, self.progress.seconds, self.batches.generator
        content = RunCheckpoint(training.states(), update, generator, seconds, self.settings.as_json())
        checkpoint.write(self.folder.checkpoint, content)

    def _result(self, training: SideBySideTraining) -> dict[str, Any]:
        """What `result.json` says: a last record, and the test part, looked at here for the first time."""
        last, test = training.record(), normalised_part(self.images, "test", self.settings.dtype)
        by_twin = {}
        for name, learner in training.learners.items():
            data = to_device(learner.twin, test)
            parts = last.get(name, last)
            by_twin[name] = {
                "train": parts["train"],
                "val": parts["val"],
                "test": measures(learner.twin, data, self.settings.lambdas),
                "probability_of_true_class": {"bins": BINS} | true_class_histogram(learner.twin, data),
            }
        s, progress = self.settings, self.progress
        result: dict[str, Any] = {"network": s.network.name, "implementation": s.implementation, "verify": s.verify}
        result |= {"device": self.device, "classes": self.images.classes, "updates": progress.update}
        result |= {"seconds": progress.total_seconds, "seconds_of": progress.seconds} | first_at_top(by_twin)
        if "drift" in last:
            result["drift"] = last["drift"] | {"first_relu": first_relu(self.folder.rows())}
        return result


def batches_of(settings: Settings, plan: TrainingPlan) -> Batches:
    """The batches of a run with these settings, which are resolved, and their plan."""
    assert settings.images is not None
    flip = settings.augment == "flip"
    return Batches(settings.images, plan.batch_size, plan.per_epoch, settings.seed, settings.shuffle, flip)


def verify_first_batch(
    settings: Settings,
    state: Mapping[str, Array],
    images: Data,
    device: str,
    advance: Advance,
    candidates: Sequence[Settings] = (),
) -> CheckResult:
    """Our check of the gradient of `settings.network` at `state` and the first images that a run would take.

    Where it is right, each twin of the run walks beside PyTorch, and so does the stack of `candidates`, if there are any.
    """
    started = time.perf_counter()
    rows = batches_of(settings, training_plan(settings)).at(0).rows[:VERIFIED_IMAGES]
    X, y = images.normalise("train", rows=rows), images.train.labels[rows]
    result = verify(settings, state, X, y, device, advance)
    if result.verdict == "fail":
        return result
    faults = walk_before_training(settings, state, candidates, images, device)
    return replace(result.with_faults(faults), seconds=time.perf_counter() - started)


def first_relu(rows: Sequence[Row]) -> dict[str, int] | None:
    """Where ReLUs of two twins first differed: the update of the record and the layer, or None."""
    found = [row for row in rows if row.get("drift", {}).get("relu", {}).get("differ")]
    return {"update": found[0]["update"], "layer": found[0]["drift"]["relu"]["layer"]} if found else None


def resolve_settings(settings: Settings, images: Data) -> Settings:
    """The settings with what the data say: the number of training images and of classes, and a checksum of all three parts."""
    network, fingerprint = replace(settings.network, outputs=len(images.classes)), 0
    for part in (images.train, images.val, images.test):
        for array in part:
            fingerprint = zlib.crc32(np.ascontiguousarray(array).data, fingerprint)
    return replace(settings, network=network, images=len(images.train.labels), fingerprint=fingerprint)


def load_images(settings: Settings) -> Data:
    """The data set, with the first `--images` of its training part if that is asked for. Raises UserError."""
    images = datasets.load(settings.data, settings.data_dir, settings.split, settings.seed, settings.normalise)
    if settings.images is None:
        return images
    if settings.images > len(images.train.labels):
        raise UserError(f"--images {settings.images:,} is over the {len(images.train.labels):,} images of the training part")
    first = slice(settings.images)
    return replace(images, train=Part(images.train.images[first], images.train.labels[first]))
