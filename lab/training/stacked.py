"""Several candidates trained at once: stacked weights, one pass over the mini-batches.

A candidate is the Settings of a training run, and ends where `training/run.py` would have brought it alone.
"""

import time
from dataclasses import replace

import numpy as np

from gradcheck.errors import UserError
from gradcheck.per_layer import lambda_per_layer
from lab import twins
from lab.training.checkpoint import Checkpoint
from lab.training.evaluation import DeviceData, evaluate
from lab.training.loop import LARGEST_COST
from lab.training.run import batches_of
from lab.training.settings import training_plan
from networks import initial_state

# In what candidates that train together may differ: in numbers, not in the shape of anything, nor in the images they see.
OWN = {"lam": 0.0, "lr": 1.0, "lr_max": 1.0, "init": "he", "init_bias": 0.0}


def stacking_key(settings):
    """What has to be equal for candidates to train together."""
    return replace(settings, **OWN)


class StackedTraining:
    """The candidates, a list of Settings that are `alike`, at their initial weights; `train` takes them to the end.

    `rows` are what is recorded of the parts `recorded`, of each a list of measures, one a candidate; `diverged` holds the
    update at which each candidate did, or None.
    """

    def __init__(self, candidates, device, recorded=("val",)):
        first = candidates[0]
        self.candidates, self.device, self.recorded, self.plan = (
            candidates,
            device,
            recorded,
            training_plan(first, first.images),
        )
        self.rates = [training_plan(settings, first.images).lr for settings in candidates]
        states = [initial_state(s.network, s.init, s.seed, s.init_bias) for s in candidates]
        self.stack = self._stack(states)
        self.lam = np.array([lambda_per_layer(settings.lam, first.network.depth) for settings in candidates]).T  # (depth, C)
        self.batches = batches_of(first, self.plan)
        self.update, self.rows, self.diverged, self.seconds = 0, [], [None] * len(candidates), 0.0
        self.ended_with = None

    def _stack(self, states):
        first = self.candidates[0]
        return twins.training_stack(first.implementation, first.network, states, first.dtype, self.device)

    @property
    def ended(self):
        return self.ended_with is not None

    def to_device(self, images, parts=("train", "val")):
        """Those parts of `images`, a Data, where this stack computes, by name; stacks of the same dtype may share them."""
        dtype, array = self.candidates[0].dtype, self.stack.array
        return {
            name: DeviceData(array(images.normalise(name, dtype)), array(np.array(getattr(images, name).labels)))
            for name in parts
        }

    def train(self, parts, advance, stopped):
        """All updates that are left, on what `place` returned; yields each row as it is recorded.

        Ends early, without results, once `stopped()` is true.
        """
        started = time.perf_counter() - self.seconds
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            while True:
                t = self.update
                due = t % self.plan.record_every == 0 or t == self.plan.updates
                if due and not (self.rows and self.rows[-1]["update"] == t):
                    found = {name: self._measures(parts[name]) for name in self.recorded}
                    self.rows.append({"update": t, "epoch": t / self.plan.per_epoch} | found)
                    self.seconds = time.perf_counter() - started
                    yield self.rows[-1]
                if t == self.plan.updates:
                    break
                if stopped():
                    self.seconds = time.perf_counter() - started
                    return
                self._update(parts["train"])
                advance()
            self.ended_with = {name: self._measures(data) for name, data in parts.items()}
        self.seconds = time.perf_counter() - started

    def results(self):
        """What each candidate ended with, as a dict for JSON: its rows, and each part, None if it diverged."""
        found = []
        for k, at in enumerate(self.diverged):
            of_this = [row | {name: row[name][k] for name in self.recorded} for row in self.rows]
            rows = [row for row in of_this if all(row[name] for name in self.recorded)]
            ended = {name: measures[k] if at is None else None for name, measures in self.ended_with.items()}
            found.append({"diverged": at, "rows": rows, "seconds": self.seconds / len(self.diverged)} | ended)
        return found

    def checkpoint(self):
        """All that is needed to go on here, as a Checkpoint with a state for each candidate."""
        states = {str(k): state for k, state in enumerate(self.stack.states())}
        seconds = {"updates": self.seconds, "records": 0.0}
        about = {"candidates": self._asked(), "rows": self.rows, "diverged": self.diverged}
        return Checkpoint(states, self.update, self.batches.generator, seconds, about)

    def resume(self, checkpoint):
        """Goes on where `checkpoint` was made. Raises UserError where other candidates made it."""
        about = checkpoint.settings
        if about.get("candidates") != self._asked():
            raise UserError("the checkpoint is of other candidates than these")
        self.stack = self._stack(list(checkpoint.states.values()))
        self.batches.resume(checkpoint.update, checkpoint.generator)
        self.update, self.seconds = checkpoint.update, checkpoint.seconds["updates"]
        self.rows, self.diverged = about["rows"], about["diverged"]

    def _asked(self):
        return [list(self.recorded), *(repr(sorted(settings.trained.items())) for settings in self.candidates)]

    def _update(self, data):
        rows, flipped = self.batches.at(self.update)
        X, y = self.stack.batch(*data, rows, flipped)
        losses, costs = self.stack.train_step(X, y, self.lam, np.array([rate(self.update) for rate in self.rates]))
        self._watch(losses, costs)
        self.update += 1

    def _measures(self, data):
        """Loss, cost and accuracy of each candidate as dicts, None for one that has diverged."""
        found = evaluate(self.stack, data, self.lam)
        self._watch(found.loss, found.cost)
        each = zip(*found, strict=True)
        return [
            dict(zip(found._fields, one, strict=True)) if at is None else None
            for one, at in zip(each, self.diverged, strict=True)
        ]

    def _watch(self, losses, costs):
        """A candidate that runs away is out; the others do not notice."""
        good = np.isfinite(losses) & (np.asarray(costs) <= LARGEST_COST)
        for k in np.flatnonzero(~good):
            self.diverged[k] = self.update if self.diverged[k] is None else self.diverged[k]
