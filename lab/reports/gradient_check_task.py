"""A report's gradient check as a task of a reproduction."""

import json
import time
from dataclasses import dataclass, replace
from typing import Any

from gradcheck import CheckResult
from gradcheck.derivations.plain import difference_quotients
from gradcheck.errors import UserError
from lab import twins
from lab.data import datasets
from lab.data.parts import Data
from lab.network_check import check_network
from lab.reports.gradient_check import GradientCheck
from lab.reports.measures import MEASURES
from lab.reports.result_forms import GradientCheckOutcome, TaskOutcome
from lab.reports.task import Worker
from manual import passes
from networks import NAMED, initial_state


@dataclass(frozen=True)
class GradientCheckTask:
    """One gradient check, at the first images of the data set `data`; `seed` draws the parameters. See `Task`."""

    check: GradientCheck
    seed: int
    data: str
    data_dir: str
    device: str

    # Beside that of a training it is nothing.
    work = 1.0

    def __str__(self) -> str:
        return "gradient check"

    def __call__(self, worker: Worker) -> list[TaskOutcome] | None:
        """See `Task`. Raises UserError."""
        started = time.perf_counter()
        images = datasets.load(self.data, self.data_dir, seed=self.seed)
        try:
            measured, result = run_check(self.check, images, self.seed, self.device)
        except UserError as error:
            raise UserError(f"gradient check of {self.check.network}: {error}") from error
        worker.advance(self.work)
        return [check_outcome(measured, result, round(time.perf_counter() - started, 3))]

    def discard_unfinished(self) -> None:
        """It keeps nothing."""


def run_check(check: GradientCheck, images: Data, seed: int, device: str) -> tuple[dict[str, float], CheckResult]:
    """What the report's protocol measures of our claimed gradient, and what our own check of every entry finds.

    Raises UserError where the images do not suffice.
    """
    network = replace(NAMED[check.network], inputs=check.inputs)
    available, classes = len(images.train.labels), len(images.classes)
    if available < check.images or classes > network.outputs:
        raise UserError(
            f"it needs {check.images} training images of at most {network.outputs} classes; "
            f"the data have {available:,} of {classes}"
        )
    X = images.normalise("train", rows=slice(check.images))[:, : check.inputs]  # (n, d)
    y = images.train.labels[: check.images]  # (n,)
    claimed, reference = twins.build(network, initial_state(network, check.init, seed, check.bias_std), device=device)
    lambdas = network.lambdas(check.lam)
    numerical = difference_quotients(
        lambda parameters: float(passes.cost(network, parameters, X, y, lambdas)),
        claimed.parameters,
        check.step,
        check.offsets,
    )
    measured = MEASURES[check.measure](claimed.cost_and_gradients(X, y, lambdas).gradients, numerical)
    return measured, check_network(check.network, claimed, reference, X, y, [lambdas])


def check_outcome(measured: dict[str, float], result: CheckResult, seconds: float) -> GradientCheckOutcome:
    """A finished gradient check as its JSON has it."""
    network = json.loads(json.dumps(result.as_json()))
    tensors = network["tensors"]
    return {
        "measured": measured,
        "verdict": network["verdict"],
        "max_rel_error": {oracle: worst_error(tensors, oracle) for oracle in ("autograd", "complex-step")},
        "entries": sum(tensor["entries"] for tensor in tensors),
        "pass": sum(tensor["pass"] for tensor in tensors),
        "fail": sum(tensor["fail"] for tensor in tensors),
        "kink": sum(tensor["kink"] for tensor in tensors),
        "undecided": sum(tensor["undecided"] for tensor in tensors),
        "seconds": seconds,
    }


def worst_error(tensors: list[dict[str, Any]], oracle: str) -> float | None:
    """The largest relative error against an oracle, or None where it derived none of the tensors."""
    errors = [tensor["oracles"][oracle]["max_rel_error"] for tensor in tensors if oracle in tensor["oracles"]]
    return max(errors, default=None)
