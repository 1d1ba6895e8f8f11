"""One network checked: forward values first, then every entry of every gradient against every oracle."""

import copy
import re
import time
from dataclasses import dataclass

import numpy as np
import torch

from errors import UserError
from gradcheck import verdict
from gradcheck.guard import watch
from gradcheck.oracles import Estimate, central_difference, complex_step
from gradcheck.rounding import UNIT, rounding_uncertainty
from networks import lambda_per_layer

ORACLES = ("autograd", "complex-step", "central-difference")
FORWARD = ("logits", "loss", "cost")


@dataclass(frozen=True)
class NetworkResult:
    """What `check` found; the dicts in `forward` and `tensors` have the form of the JSON contract.

    `changed` names parameters, statistics, data and generators that the check was only to read and that differ afterwards.
    """

    name: str
    parameters: int
    verdict: str
    seconds: float
    changed: list
    forward: list
    tensors: list


def check(name, hand, reference, chain, y, lams, oracles=ORACLES, dtype="float64", advance=lambda entries: None):
    """Checks `hand.cost_and_gradients` at chain.X and y, in training mode, for each lambda of `lams`.

    `hand` and `reference` hold the same state and answer to one protocol, `cost_and_gradients(X, y, lam)` and `state()`;
    `reference` works in float64, `hand` in `dtype`. `chain` is hand's forward pass. `advance(entries)` reports progress,
    in entries of one oracle. Raises UserError where the data are not finite.
    """
    started = time.perf_counter()
    if not np.isfinite(chain.X).all():
        row, column = np.argwhere(~np.isfinite(chain.X))[0]
        raise UserError(f"the data are not finite: image {row}, pixel {column} is {chain.X[row, column]}; mend the data")
    rtol = verdict.RTOL[dtype]
    X = chain.X.astype(dtype)  # (n, d): the same numbers, since chain.X comes from this dtype

    def watched():
        states = {"manual": hand.state(), "torch": reference.state()}
        return {"X": X, "y": y} | {f"{twin} {k}": array for twin, state in states.items() for k, array in state.items()}

    with watch(watched) as changed:
        answers = [hand.cost_and_gradients(X, y, lam) for lam in lams]
        references = [reference.cost_and_gradients(chain.X, y, lam) for lam in lams]
        roundings = [_rounding(reference, chain, y, lam, dtype) for lam in lams]
        forward = [_forward_row(quantity, answers, references, roundings, rtol) for quantity in FORWARD]
        # Where rounding to dtype switches a ReLU, hand has the gradient of another piece: no error, but no check either.
        switched = not chain.same_pattern(chain.at(chain.parameters | {"X": chain.X}, dtype))
        tensors = []
        for tensor in chain.parameters:
            estimates = {oracle: _estimate(oracle, tensor, chain, references, lams, advance) for oracle in oracles}
            tensors.append(_tensor_row(tensor, answers, estimates, roundings, rtol, switched))
    found = [row["verdict"] for row in forward] + [name for row in tensors for name in verdict.VERDICTS if row[name]]
    return NetworkResult(
        name=name,
        parameters=sum(row["entries"] for row in tensors),
        verdict="fail" if changed else verdict.overall(found),
        seconds=time.perf_counter() - started,
        changed=changed,
        forward=forward,
        tensors=tensors,
    )


def _quantities(answer):
    """All that a twin computed, by name, as arrays."""
    return {quantity: np.asarray(getattr(answer, quantity)) for quantity in FORWARD} | answer.gradients


def _rounding(reference, chain, y, lam, dtype):
    """The rounding uncertainty of all that `hand` computes in `dtype`, measured on the reference cast to it."""
    twin = copy.deepcopy(reference).to(getattr(torch, dtype))
    here = chain.at(chain.parameters | {"X": chain.X}, dtype)

    def evaluate(inputs):
        twin.load_state({name: array for name, array in inputs.items() if name != "X"})
        return _quantities(twin.cost_and_gradients(inputs["X"], y, lam))

    def same_pattern(inputs):
        return here.same_pattern(chain.at(inputs, dtype))

    return rounding_uncertainty(evaluate, reference.state() | {"X": chain.X}, UNIT[dtype], same_pattern)


def _estimate(oracle, tensor, chain, references, lams, advance):
    """What `oracle` says of the gradient of `tensor`, for each lambda."""
    if oracle == "autograd":
        derivative = np.array([reference.gradients[tensor].ravel() for reference in references])  # (lambdas, entries)
        advance(derivative.shape[1])
        return Estimate(derivative, np.zeros_like(derivative), np.zeros(derivative.shape[1], bool))
    per_layer = [lambda_per_layer(lam, chain.depth) for lam in lams]
    kind, layer = re.fullmatch(r"(\D+)(\d+)", tensor).groups()
    own = [lam[int(layer) - 1] if kind == "W" else 0.0 for lam in per_layer]  # (lambdas,)
    if oracle == "complex-step":
        return complex_step(chain, tensor, own, advance)
    return central_difference(chain, tensor, own, [chain.penalty(lam) for lam in per_layer], advance)


def _forward_row(quantity, answers, references, roundings, rtol):
    ours, theirs = (np.array([_quantities(a)[quantity].ravel() for a in side], np.float64) for side in (answers, references))
    rounding = np.array([[r[quantity]] for r in roundings])  # (lambdas, 1)
    comparison = verdict.compare(ours, theirs, np.zeros_like(ours), rounding, rtol)
    shape = np.shape(getattr(answers[0], quantity))
    return {
        "name": quantity,
        "verdict": "pass" if comparison.agrees.all() else "fail",
        **verdict.summary(comparison, ours, theirs, shape),
    }


def _tensor_row(tensor, answers, estimates, roundings, rtol, switched):
    shape = answers[0].gradients[tensor].shape
    ours = np.array([answer.gradients[tensor].ravel() for answer in answers], np.float64)  # (lambdas, entries)
    rounding = np.array([[r[tensor]] for r in roundings])  # (lambdas, 1)
    comparisons = {o: verdict.compare(ours, e.derivative, e.uncertainty, rounding, rtol) for o, e in estimates.items()}
    crossed = np.any([e.crossed for e in estimates.values()], axis=0)  # (entries,)
    counts = verdict.count(list(comparisons.values()), crossed, switched)
    return {
        "name": tensor,
        "shape": list(shape),
        "entries": ours.shape[1],
        "checked": sum(counts.values()) - counts["undecided"],
        **counts,
        "diagnosis": None,
        "oracles": {o: verdict.summary(c, ours, estimates[o].derivative, shape) for o, c in comparisons.items()},
    }
