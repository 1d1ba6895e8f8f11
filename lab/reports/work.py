"""The tasks of a reproduction: stacks of trainings and gradient checks, each of which any process can do."""

import base64
import contextlib
import hashlib
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from gradcheck.errors import UserError
from lab import twins
from lab.data import datasets
from lab.data.parts import PARTS
from lab.training import checkpoint
from lab.training.evaluation import BINS, true_class_histogram
from lab.training.run import load_images, resolve_settings, verify_first_batch
from lab.training.settings import Settings, training_plan
from lab.training.stacked import StackedTraining, stacking_key
from networks import NAMED

# So many trainings in a stack: more are no faster, and what two processes hold still fits a small machine.
MOST = 12
# CIFAR-10's, to tell how long a training takes before the images are there.
TRAINING_IMAGES = {"small": 10_000, "45000": 45_000, "49000": 49_000}
# Updates between two signs of progress.
OFTEN = 20

# The networks, with a penalty or without, whose gradient this process has verified.
_verified = set()


class WrongGradient(Exception):
    """The gradient of a network is wrong; holds what our check found, a network of compare's JSON."""


@dataclass(frozen=True)
class Stack:
    """Trainings, Settings that are `alike`, at whose records the parts `record` are measured.

    Called, it returns a dict for each, or None once `stopped()`; it goes on from the file `unfinished`, if that is there.
    """

    trainings: tuple
    record: tuple
    device: str
    unfinished: Path

    @property
    def work(self):
        """How long it takes, in units of its own."""
        first = self.trainings[0]
        n = first.images or TRAINING_IMAGES.get(first.split, 10_000)
        return training_plan(first, n).updates * len(self.trainings) * self._unit()

    def _unit(self):
        first = self.trainings[0]
        torch = 2 if first.implementation == "torch" else 1
        return torch * (first.network.parameter_count * first.batch_size / 1e6 + len(first.network.hidden) + 2)

    def __str__(self):
        first = self.trainings[0]
        return f"{first.network.name} {first.implementation}, {len(self.trainings)} at once"

    def __call__(self, tell, stopped):
        s = self.trainings[0]
        images = images_once(s.data, s.data_dir, s.split, s.images, s.normalise, s.seed if s.data == "synthetic" else 0)
        trainings = [resolve_settings(settings, images) for settings in self.trainings]
        together = StackedTraining(trainings, self.device, self.record)
        self._verify(trainings, together.stack.states(), images)
        with contextlib.suppress(UserError):  # it is damaged, or of images that have changed since: begin anew
            if self.unfinished.exists():
                together.resume(checkpoint.read(self.unfinished))
        unit, count = self._unit() * len(trainings), together.update
        tell(count * unit)
        data = together.to_device(images, PARTS)

        def advance():
            if together.update % OFTEN == 0:
                tell(OFTEN * unit)

        for _ in together.train(data, advance, stopped):
            self._keep(together)
        if not together.ended:
            self._keep(together)
            return None
        return [
            run_of(result, settings, state, data["test"], self.device)
            for result, settings, state in zip(together.results(), trainings, together.stack.states(), strict=True)
        ]

    def _verify(self, trainings, states, images):
        """Raises WrongGradient where the gradient of the network is wrong at the largest lambda, where a wrong penalty shows.

        A process looks once at each network without a penalty, and once with one.
        """
        settings, state = max(zip(trainings, states, strict=True), key=lambda each: np.max(each[0].lam))
        asked = settings.network, settings.implementation, settings.dtype, np.ndim(settings.lam), np.any(settings.lam)
        if asked not in _verified:
            found = verify_first_batch(settings, state, images, self.device, lambda entries: None)
            if found.verdict == "fail":
                raise WrongGradient(found.as_json())
            _verified.add(asked)

    def forget(self):
        """Its results are kept: there is nothing to go on with."""
        self.unfinished.unlink(missing_ok=True)

    def _keep(self, together):
        self.unfinished.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write(self.unfinished, together.checkpoint())


@lru_cache(maxsize=2)
def images_once(data, data_dir, split, images, normalise, seed):
    asked = {"data": data, "data_dir": data_dir, "split": split, "images": images, "normalise": normalise, "seed": seed}
    return load_images(Settings(NAMED["one-layer"], **asked))


def stacks(jobs, device, folder):
    """Stacks for `jobs`, a list of (Settings, record), the longest first; equal jobs are trained once."""
    groups = {}
    for settings, record in dict.fromkeys(jobs):
        groups.setdefault((stacking_key(settings), record), []).append(settings)
    found = []
    for (_, record), members in groups.items():
        for start in range(0, len(members), MOST):
            chosen = tuple(members[start : start + MOST])
            name = hashlib.sha256(repr((chosen, record)).encode()).hexdigest()[:16]
            found.append(Stack(chosen, record, device(chosen[0]), folder / f"{name}.safetensors"))
    return sorted(found, key=lambda stack: -stack.work)


def run_of(result, settings, state, test, device):
    """A finished training as a dict for JSON: its records as columns, and what figures show of its end (W1 as images)."""
    rows = result.pop("rows")
    measures = {part: columns([row[part] for row in rows]) for part in PARTS if rows and part in rows[0]}
    run = result | {"rows": {"update": [row["update"] for row in rows]} | measures}
    if result["diverged"] is None:
        twin = twins.training_twin(settings.implementation, settings.network, state, settings.dtype, device)
        run["probability_of_true_class"] = {"bins": BINS} | true_class_histogram(twin, test)
        if settings.network.depth == 1 and settings.implementation == "manual":
            run["W1"] = base64.b64encode(as_bytes(state["W1"]).tobytes()).decode()
    return run | {"seconds": round(run["seconds"], 3)}


def columns(measures):
    """Dicts of measures as one dict of lists, to six digits."""
    return {name: [float(f"{each[name]:.6g}") for each in measures] for name in measures[0]}


def as_bytes(W):
    """W (K, d) as bytes, each row over its own full range: what an image of it shows."""
    low, high = W.min(axis=1, keepdims=True), W.max(axis=1, keepdims=True)
    return np.rint(255 * (W - low) / np.where(high > low, high - low, 1)).astype(np.uint8)


@dataclass(frozen=True)
class Check:
    """A report's gradient check. Called, it returns one dict for JSON: what it measured, and what our check found."""

    check: object
    seed: int
    data: str
    data_dir: str
    device: str

    work = 1

    def __str__(self):
        return "gradient check"

    def forget(self):
        """Nothing of it is left unfinished."""

    def __call__(self, tell, stopped):
        started = time.perf_counter()
        try:
            measured, ours = self.check.run(datasets.load(self.data, self.data_dir, seed=self.seed), self.seed, self.device)
        except UserError as error:
            raise UserError(f"gradient check of {self.check.network}: {error}") from error
        tell(self.work)
        network = ours.as_json()
        tensors = network["tensors"]
        oracles = ("autograd", "complex-step")
        worst = {
            o: max((t["oracles"][o]["max_rel_error"] for t in tensors if o in t["oracles"]), default=None) for o in oracles
        }
        counts = {name: sum(t[name] for t in tensors) for name in ("entries", "pass", "fail", "kink", "undecided")}
        run = {"measured": measured, "verdict": network["verdict"], "max_rel_error": worst} | counts
        return [json.loads(json.dumps(run)) | {"seconds": round(time.perf_counter() - started, 3)}]
