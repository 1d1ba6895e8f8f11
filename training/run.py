"""A training run from its settings: the data, the twins, the updates, what is recorded, and the end."""

from dataclasses import replace

import numpy as np

import twins
from errors import UserError
from networks import initial_state
from training import checkpoint, data
from training.batches import Batches
from training.checkpoint import Checkpoint
from training.evaluation import BINS, Placed, true_class_histogram
from training.loop import Learner, Progress, measures, train, under_names
from training.settings import Settings, plan
from training.verify import verify


class Run:
    """What `settings` ask for, begun or gone on with in `folder`, on `device`. Raises UserError where the data don't do."""

    def __init__(self, settings, images, folder, device):
        self.settings, self.images, self.folder, self.device = settings, images, folder, device
        self.plan = plan(settings, len(images.train.labels))
        start = folder.read_checkpoint()
        if start is not None and Settings.from_json(start.settings).trained != settings.trained:
            raise UserError(f"{folder.config} and {folder.checkpoint} are of different runs; put back the config.json")
        self.batches = Batches(
            len(images.train.labels), self.plan.batch_size, settings.seed, settings.shuffle, settings.augment == "flip"
        )
        if start is None:
            state = initial_state(settings.network, settings.init, settings.seed)
            self.progress = Progress(0, {"updates": 0.0, "records": 0.0})
            self.states = dict.fromkeys(settings.twins, state)
        else:
            self.batches.resume(start.update, start.generator)
            self.progress = Progress(start.update, start.seconds)
            self.states = {name: start.state_for(name) for name in settings.twins}

    def verify(self, advance):
        """Our check of the gradient at the first images of the first batch: see `training/verify.py`."""
        rows = self._first_batch()
        X, y = self.images.normalise(self.images.train.images[rows]), self.images.train.labels[rows]
        return verify(self.settings, next(iter(self.states.values())), X, y, self.device, advance)

    def train(self, advance, stopped):
        """Trains to the end or until `stopped()`; yields the row of each record when it is on disk, with a checkpoint.

        Raises Diverged.
        """
        self.folder.keep_rows(self.progress.update)
        learners = self._learners()
        with twins.shared_cores(self.settings.twins):
            for row in train(learners, self.batches, self.plan, self.settings.lam, self.progress, advance, stopped):
                # In this order: a row without its checkpoint is dropped when the run goes on; the reverse would leave a gap.
                if row is not None:
                    self.folder.append(row)
                self._write_checkpoint(learners)
                if row is not None:
                    yield row
        if self.progress.update == self.plan.updates:
            self.folder.finish(self._result(learners))

    def _first_batch(self):
        n = len(self.images.train.labels)
        return Batches(n, self.plan.batch_size, self.settings.seed, self.settings.shuffle).at(0).rows

    def _learners(self):
        parts = {name: self._normalised(getattr(self.images, name)) for name in ("train", "val")}
        learners = {}
        for name, state in self.states.items():
            twin = twins.training_twin(name, self.settings.network, state, self.settings.dtype, self.device)
            learners[name] = Learner(twin, *(place(twin, part) for part in parts.values()))
        return learners

    def _normalised(self, part):
        return Placed(self.images.normalise(part.images, self.settings.dtype), np.array(part.labels))

    def _write_checkpoint(self, learners):
        states = {name: learner.twin.state() for name, learner in learners.items()}
        update, seconds = self.progress.update, self.progress.seconds
        content = Checkpoint(states, update, self.batches.generator, seconds, self.settings.as_json())
        checkpoint.write(self.folder.checkpoint, content)

    def _result(self, learners):
        """What `result.json` says: the last record, and the test part, looked at here for the first time."""
        rows = self.folder.rows()
        last = rows[-1]
        test, found = self._normalised(self.images.test), {}
        for name, learner in learners.items():
            placed = place(learner.twin, test)
            parts = last if name == next(iter(learners)) else last[name]
            found[name] = {
                "train": parts["train"],
                "val": parts["val"],
                "test": measures(learner.twin, placed, self.settings.lam),
                "probability_of_true_class": {"bins": BINS} | true_class_histogram(learner.twin, placed),
            }
        s = self.settings
        about = {
            "classes": self.images.classes,
            "network": s.network.name,
            "implementation": s.implementation,
            "verify": s.verify,
            "device": self.device,
        }
        apart = {"apart": last["apart"] | {"first_relu": first_relu(rows)}} if "apart" in last else {}
        seconds = {"seconds": sum(self.progress.seconds.values()), "seconds_of": self.progress.seconds}
        return about | {"updates": self.progress.update} | seconds | under_names(found) | apart


def first_relu(rows):
    """Where ReLUs of two twins first differed: the update of the record and the layer, or None."""
    found = [row for row in rows if row.get("apart", {}).get("relu", {}).get("differ")]
    return {"update": found[0]["update"], "layer": found[0]["apart"]["relu"]["layer"]} if found else None


def place(twin, part):
    return Placed(twin.array(part.X), twin.array(part.y))


def load_images(settings):
    """The data set, with the first `--images` of its training part if that is asked for. Raises UserError."""
    images = data.load(settings.data, settings.data_dir, settings.split, settings.seed)
    if settings.images is None:
        return images
    first = slice(settings.images)
    return replace(images, train=data.Part(images.train.images[first], images.train.labels[first]))
