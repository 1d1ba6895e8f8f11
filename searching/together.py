"""Several candidates trained at once: stacked weights, one pass over the mini-batches.

A candidate is the Settings of a training run, and ends where `training/run.py` would have brought it alone.
"""

import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import twins
from networks import initial_state, lambda_per_layer
from training.evaluation import Placed, evaluate
from training.loop import LARGEST_COST
from training.run import batches_of
from training.settings import plan

# In what candidates that train together may differ: in numbers, not in the shape of anything, nor in the images they see.
OWN = {"lam": 0.0, "lr_max": 1.0, "init": "he"}


class Parts(NamedTuple):
    """The training and the validation images where a stack computes."""

    train: Placed
    val: Placed


def alike(settings):
    """What has to be equal for candidates to train together."""
    return replace(settings, **OWN)


class Together:
    """The candidates, a list of Settings that are `alike`, at their initial weights; `train` takes them to the end.

    `rows` are what is recorded, the `val` of each a list of measures, one a candidate; `diverged` holds the update at which
    each candidate did, or None.
    """

    def __init__(self, candidates, device):
        first = candidates[0]
        self.candidates, self.plan = candidates, plan(first, first.images)
        self.rates = [plan(settings, first.images).lr for settings in candidates]
        states = [initial_state(settings.network, settings.init, settings.seed) for settings in candidates]
        self.stack = twins.training_stack(first.implementation, first.network, states, first.dtype, device)
        self.lam = np.array([lambda_per_layer(settings.lam, first.network.depth) for settings in candidates]).T  # (depth, C)
        self.batches = batches_of(first, self.plan)
        self.rows, self.diverged, self.seconds, self.on_training = [], [None] * len(candidates), 0.0, None

    @property
    def ended(self):
        return self.on_training is not None

    def place(self, images):
        """`images`, a Data, as the Parts that this stack trains on; other stacks of the same dtype may share them."""
        parts = (images.train, images.val)
        dtype, array = self.candidates[0].dtype, self.stack.array
        return Parts(*(Placed(array(images.normalise(part.images, dtype)), array(np.array(part.labels))) for part in parts))

    def train(self, parts, advance, stopped):
        """All updates; yields each row as it is recorded. Ends early, without results, once `stopped()` is true."""
        started = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for t in range(self.plan.updates + 1):
                if t % self.plan.record_every == 0 or t == self.plan.updates:
                    self.rows.append({"update": t, "epoch": t / self.plan.per_epoch, "val": self._measures(parts.val, t)})
                    yield self.rows[-1]
                if t < self.plan.updates:
                    if stopped():
                        return
                    self._update(parts.train, t)
                    advance()
            self.on_training = self._measures(parts.train, self.plan.updates)
        self.seconds = time.perf_counter() - started

    def results(self):
        """What each candidate ended with, as a dict for JSON."""
        found = []
        for k, at in enumerate(self.diverged):
            rows = [row | {"val": row["val"][k]} for row in self.rows if row["val"][k]]
            ended = {"val": rows[-1]["val"], "train": self.on_training[k]} if at is None else {"val": None, "train": None}
            found.append({"diverged": at, "rows": rows, "seconds": self.seconds / len(self.diverged)} | ended)
        return found

    def _update(self, placed, t):
        rows, flipped = self.batches.at(t)
        X, y = self.stack.batch(*placed, rows, flipped)
        losses, costs = self.stack.train_step(X, y, self.lam, np.array([rate(t) for rate in self.rates]))
        self._watch(losses, costs, t)

    def _measures(self, placed, t):
        """Loss, cost and accuracy of each candidate as dicts, None for one that has diverged."""
        found = evaluate(self.stack, placed, self.lam)
        self._watch(found.loss, found.cost, t)
        each = zip(*found, strict=True)
        return [
            dict(zip(found._fields, one, strict=True)) if at is None else None
            for one, at in zip(each, self.diverged, strict=True)
        ]

    def _watch(self, losses, costs, t):
        """A candidate that runs away is out; the others do not notice."""
        good = np.isfinite(losses) & (np.asarray(costs) <= LARGEST_COST)
        for k in np.flatnonzero(~good):
            self.diverged[k] = t if self.diverged[k] is None else self.diverged[k]
