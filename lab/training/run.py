"""A training run from its settings: the data, the twins, the updates, what is recorded, and the end."""

import time
import zlib
from dataclasses import replace

import numpy as np

from gradcheck.errors import UserError
from lab import twins
from lab.data import datasets
from lab.data.parts import Part
from lab.training import checkpoint
from lab.training.batches import Batches
from lab.training.checkpoint import Checkpoint
from lab.training.evaluation import BINS, DeviceData, true_class_histogram
from lab.training.loop import Diverged, Learner, Progress, measures, record, train, under_names
from lab.training.settings import Settings, training_plan
from lab.training.verification import VERIFIED_IMAGES, verify
from networks import initial_state


class Run:
    """What `settings` ask for, begun or gone on with in `folder`, on `device`. Raises UserError where the data don't do."""

    def __init__(self, settings, images, folder, device):
        self.settings, self.images, self.folder, self.device = settings, images, folder, device
        if resolve_settings(settings, images) != settings:
            raise UserError(f"{folder.path}: the data are not those that the run began with; put them back, or begin anew")
        self.plan = training_plan(settings, settings.images)
        self.batches = batches_of(settings, self.plan)
        start = folder.read_checkpoint()
        if start is None:
            state = initial_state(settings.network, settings.init, settings.seed, settings.init_bias)
            self.progress = Progress(0, {"updates": 0.0, "records": 0.0})
            self.states = dict.fromkeys(settings.twins, state)
            return
        if Settings.from_json(start.settings).trained != settings.trained:
            raise UserError(f"{folder.config} and {folder.checkpoint} are of different runs; put back the config.json")
        self.batches.resume(start.update, start.generator)
        self.progress = Progress(start.update, start.seconds)
        self.states = {name: start.state_for(name) for name in settings.twins}

    def verify(self, advance):
        """Our check of the gradient at the first images of the first batch: see `training/verify.py`."""
        return verify_first_batch(self.settings, next(iter(self.states.values())), self.images, self.device, advance)

    def train(self, advance, stopped):
        """Trains to the end or until `stopped()`; yields the row of each record when it is on disk, with a checkpoint.

        Raises Diverged, which says where the last good checkpoint is.
        """
        self.folder.tidy(self.progress.update, self.plan.record_every)
        learners = self._learners()
        try:
            with twins.shared_cores(self.settings.twins):
                for row in train(learners, self.batches, self.plan, self.settings.lam, self.progress, advance, stopped):
                    started = time.perf_counter()
                    # In this order: a row without its checkpoint is dropped when the run goes on; the reverse is a gap.
                    self.folder.append(row)
                    self._write_checkpoint(learners)
                    self.progress.seconds["records"] += time.perf_counter() - started
                    yield row
        except Diverged as diverged:
            raise Diverged(f"{diverged}; {self.folder.last_checkpoint()}") from diverged
        if self.progress.update < self.plan.updates:
            self._write_checkpoint(learners)
        else:
            self.folder.finish(self._result(learners))

    def _learners(self):
        parts = {name: self._normalised(name) for name in ("train", "val")}
        learners = {}
        for name, state in self.states.items():
            twin = twins.training_twin(name, self.settings.network, state, self.settings.dtype, self.device)
            learners[name] = Learner(twin, *(to_device(twin, part) for part in parts.values()))
        return learners

    def _normalised(self, part):
        return DeviceData(self.images.normalise(part, self.settings.dtype), np.array(getattr(self.images, part).labels))

    def _write_checkpoint(self, learners):
        states = {name: learner.twin.state() for name, learner in learners.items()}
        update, seconds = self.progress.update, self.progress.seconds
        content = Checkpoint(states, update, self.batches.generator, seconds, self.settings.as_json())
        checkpoint.write(self.folder.checkpoint, content)

    def _result(self, learners):
        """What `result.json` says: a last record, and the test part, looked at here for the first time."""
        last = record(learners, self.plan, self.settings.lam, self.progress)
        test, found = self._normalised("test"), {}
        for name, learner in learners.items():
            data = to_device(learner.twin, test)
            parts = last.get(name, last)
            found[name] = {
                "train": parts["train"],
                "val": parts["val"],
                "test": measures(learner.twin, data, self.settings.lam),
                "probability_of_true_class": {"bins": BINS} | true_class_histogram(learner.twin, data),
            }
        s, seconds = self.settings, self.progress.seconds
        about = {"network": s.network.name, "implementation": s.implementation, "verify": s.verify, "device": self.device}
        about |= {"classes": self.images.classes, "updates": self.progress.update}
        about |= {"seconds": sum(seconds.values()), "seconds_of": seconds}
        drift = {"drift": last["drift"] | {"first_relu": first_relu(self.folder.rows())}} if "drift" in last else {}
        return about | under_names(found) | drift


def batches_of(settings, p):
    """The batches of a run with these settings and its plan `p`."""
    return Batches(settings.images, p.batch_size, p.per_epoch, settings.seed, settings.shuffle, settings.augment == "flip")


def verify_first_batch(settings, state, images, device, advance):
    """Our check of the gradient of `settings.network` at `state` and the first images that a run would see."""
    rows = batches_of(settings, training_plan(settings, settings.images)).at(0).rows[:VERIFIED_IMAGES]
    X, y = images.normalise("train", rows=rows), images.train.labels[rows]
    return verify(settings, state, X, y, device, advance)


def first_relu(rows):
    """Where ReLUs of two twins first differed: the update of the record and the layer, or None."""
    found = [row for row in rows if row.get("drift", {}).get("relu", {}).get("differ")]
    return {"update": found[0]["update"], "layer": found[0]["drift"]["relu"]["layer"]} if found else None


def to_device(twin, part):
    return DeviceData(twin.array(part.X), twin.array(part.y))


def resolve_settings(settings, images):
    """The settings with what the data say: the number of training images and of classes, and a checksum of all three parts."""
    network, fingerprint = replace(settings.network, outputs=len(images.classes)), 0
    for part in (images.train, images.val, images.test):
        for array in part:
            fingerprint = zlib.crc32(np.ascontiguousarray(array), fingerprint)
    return replace(settings, network=network, images=len(images.train.labels), fingerprint=fingerprint)


def load_images(settings):
    """The data set, with the first `--images` of its training part if that is asked for. Raises UserError."""
    images = datasets.load(settings.data, settings.data_dir, settings.split, settings.seed, settings.normalise)
    if settings.images is None:
        return images
    if settings.images > len(images.train.labels):
        raise UserError(f"--images {settings.images:,} is over the {len(images.train.labels):,} images of the training part")
    first = slice(settings.images)
    return replace(images, train=Part(images.train.images[first], images.train.labels[first]))
