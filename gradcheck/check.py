"""One network checked: forward values first, then every entry of every gradient against every oracle."""

import copy
import re
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from errors import UserError
from gradcheck import verdict
from gradcheck.diagnosis import Case, diagnose
from gradcheck.guard import watch
from gradcheck.oracles import Estimate, central_difference, complex_step
from gradcheck.rounding import rounding_uncertainty
from networks import lambda_per_layer

ORACLES = ("autograd", "complex-step", "central-difference")
FORWARD = ("logits", "loss", "cost")


@dataclass(frozen=True)
class NetworkResult:
    """What `check` found; the dicts in `forward` and `tensors` have the form of the JSON contract.

    `faults` are sentences on what no entry can show: a gradient of the wrong shape, parameters that changed meanwhile.
    """

    name: str
    parameters: int
    verdict: str
    seconds: float
    faults: list
    forward: list
    tensors: list

    def with_faults(self, faults):
        """The same result with more faults, which fail it."""
        return replace(self, faults=self.faults + faults, verdict="fail" if faults else self.verdict)


def check(name, hand, reference, chain, y, lams, oracles=ORACLES, dtype="float64", advance=lambda count: None, sample=None):
    """Checks `hand.cost_and_gradients` at chain.X and y, in training mode, for each lambda of `lams`.

    `hand` and `reference` hold the same state and answer to one protocol, `cost_and_gradients(X, y, lam)` and `state()`;
    `reference` works in float64, `hand` in `dtype`. `chain` is hand's forward pass. `advance(entries)` reports progress,
    in entries of one oracle. `sample` maps each tensor to the flat indices of the entries to check; None is all of them.
    Raises UserError where the data are not finite.
    """
    started = time.perf_counter()
    if not np.isfinite(chain.X).all():
        row, column = np.argwhere(~np.isfinite(chain.X))[0]
        raise UserError(f"the data are not finite: image {row}, pixel {column} is {chain.X[row, column]}; mend the data")
    rtol = verdict.RTOL[dtype]
    X = chain.X.astype(dtype)  # (n, d): the same numbers, since chain.X comes from this dtype

    def watched():
        own = {"X": X, "y": y, "the chain's X": chain.X}
        theirs = {"manual ": hand.state(), "torch ": _tensors(reference), "the chain's ": chain.parameters}
        return own | {owner + name: array for owner, arrays in theirs.items() for name, array in arrays.items()}

    with watch(watched) as changed:
        references = [reference.cost_and_gradients(chain.X, y, lam) for lam in lams]
        answers, faults = _ask(hand, X, y, lams, chain.parameters, references[0])
        roundings = [_rounding(reference, chain, y, lam, dtype) for lam in lams]
        forward = [_forward_row(quantity, answers, references, roundings, rtol) for quantity in FORWARD]
        # Where rounding to dtype switches a ReLU, hand has the gradient of another piece: no error, but no check either.
        switched = not chain.same_pattern(chain.at(chain.parameters | {"X": chain.X}, dtype))
        largest = np.array([[max(np.abs(g).max() for g in r.gradients.values())] for r in references])  # (lambdas, 1)
        tensors = []
        for tensor, array in chain.parameters.items():
            entries = np.arange(array.size) if sample is None else sample[tensor]
            estimates = {oracle: _estimate(oracle, tensor, entries, chain, references, lams, advance) for oracle in oracles}
            tensors.append(
                _tensor_row(tensor, entries, chain, answers, references, estimates, roundings, rtol, largest, switched)
            )
        _diagnose(tensors, chain, y, lams, answers, references, roundings, reference)
    found = [row["verdict"] for row in forward] + [name for row in tensors for name in verdict.VERDICTS if row[name]]
    return NetworkResult(
        name=name,
        parameters=sum(row["entries"] for row in tensors),
        verdict="fail" if faults + changed else verdict.overall(found),
        seconds=time.perf_counter() - started,
        faults=faults + [f"the check may only read {name}, which changed" for name in changed],
        forward=forward,
        tensors=tensors,
    )


def _tensors(module):
    """All that the module keeps, its counters included, as arrays."""
    return {name: tensor.numpy(force=True) for name, tensor in module.state_dict().items()}


def _quantities(answer):
    """All that a twin computed, by name, as arrays."""
    return {quantity: np.asarray(getattr(answer, quantity)) for quantity in FORWARD} | answer.gradients


def _rounding(reference, chain, y, lam, dtype):
    """The rounding uncertainty of all that `hand` computes in `dtype`, measured on the reference cast to it."""
    twin = copy.deepcopy(reference).to("cpu", getattr(torch, dtype))

    def evaluate(inputs):
        twin.load_state({name: array for name, array in inputs.items() if name != "X"})
        return _quantities(twin.cost_and_gradients(inputs["X"], y, lam))

    return rounding_uncertainty(evaluate, reference.state() | {"X": chain.X}, dtype)


def _estimate(oracle, tensor, entries, chain, references, lams, advance):
    """What `oracle` says of the gradient of `tensor` at `entries`, for each lambda."""
    if oracle == "autograd":
        derivative = np.array([reference.gradients[tensor].ravel()[entries] for reference in references])  # (lambdas, entries)
        advance(derivative.shape[1])
        return Estimate(derivative, np.zeros_like(derivative), np.zeros(derivative.shape[1], bool))
    per_layer = [lambda_per_layer(lam, chain.depth) for lam in lams]
    kind, layer = re.fullmatch(r"(\D+)(\d+)", tensor).groups()
    own = [lam[int(layer) - 1] if kind == "W" else 0.0 for lam in per_layer]  # (lambdas,)
    if oracle == "complex-step":
        return complex_step(chain, tensor, entries, own, advance)
    return central_difference(chain, tensor, entries, own, [chain.penalty(lam) for lam in per_layer], advance)


def _forward_row(quantity, answers, references, roundings, rtol):
    ours, theirs = (np.array([_quantities(a)[quantity].ravel() for a in side], np.float64) for side in (answers, references))
    rounding = np.array([[r[quantity]] for r in roundings])  # (lambdas, 1)
    comparison = verdict.compare(ours, theirs, np.zeros_like(ours), rounding, rtol, np.abs(theirs).max(axis=1, keepdims=True))
    shape = np.shape(getattr(answers[0], quantity))
    return {
        "name": quantity,
        "verdict": "pass" if comparison.agrees.all() else "fail",
        **verdict.summary(comparison, ours, theirs, shape, np.arange(ours.shape[1])),
    }


def _ask(hand, X, y, lams, parameters, reference):
    """The hand gradients for each lambda, and sentences on what is wrong with their form.

    Where the code under test raises, the sentence says so, and nothing it should have computed is a number.
    """
    try:
        answers = [hand.cost_and_gradients(X, y, lam) for lam in lams]
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        fault = f"the backward pass raised {type(error).__name__} in {where}: {' '.join(str(error).split())}"
        nothing = reference._replace(logits=np.full_like(reference.logits, np.nan), loss=np.nan, cost=np.nan, gradients={})
        return [nothing for _ in lams], [fault]
    faults = list(_misshapen(answers[0].gradients, parameters))
    shape, expected = np.shape(answers[0].logits), reference.logits.shape
    if shape != expected:
        faults.append(f"the logits have shape {shape}, those of PyTorch {expected}")
        answers = [answer._replace(logits=np.full(expected, np.nan)) for answer in answers]
    return answers, faults


def _misshapen(gradients, parameters):
    """A sentence for each gradient that is missing, of another shape than its parameter, or of no parameter."""
    for name, array in parameters.items():
        if name not in gradients:
            yield f"the gradient of {name} is missing"
        elif np.shape(gradients[name]) != array.shape:
            yield f"the gradient of {name} has shape {np.shape(gradients[name])}, {name} has {array.shape}"
        elif np.iscomplexobj(gradients[name]):
            yield f"the gradient of {name} is complex"
    for name in gradients.keys() - parameters.keys():
        yield f"{name} has a gradient and is no parameter"


def _gradient(answer, tensor, shape):
    """The hand gradient of `tensor` as a row of float64; not a number anywhere if it is missing or misshapen."""
    gradient = np.asarray(answer.gradients.get(tensor, np.nan))
    fits = gradient.shape == shape and not np.iscomplexobj(gradient)
    return gradient.ravel().astype(np.float64) if fits else np.full(np.prod(shape), np.nan)


def _diagnose(tensors, chain, y, lams, answers, references, roundings, reference):
    """Fills in the diagnosis of each tensor with wrong entries."""
    failing = [row["name"] for row in tensors if row["fail"]]
    if not failing:
        return
    signals, eps = reference.signals(chain.X, y), reference.network.eps
    cases = []
    for lam, answer, theirs, rounding in zip(lams, answers, references, roundings, strict=True):
        hand = {name: _gradient(answer, name, array.shape).reshape(array.shape) for name, array in chain.parameters.items()}
        per_layer = lambda_per_layer(lam, chain.depth)
        cases.append(Case(hand, theirs.gradients, rounding, chain.parameters, per_layer, signals, eps))
    sentences = diagnose(cases, failing)
    for row in tensors:
        row["diagnosis"] = sentences.get(row["name"])


def _tensor_row(tensor, entries, chain, answers, references, estimates, roundings, rtol, largest, switched):
    shape = chain.parameters[tensor].shape
    ours = np.array([_gradient(answer, tensor, shape)[entries] for answer in answers])  # (lambdas, entries)
    rounding = np.array([[r[tensor]] for r in roundings])  # (lambdas, 1)
    # What an uncertainty is large against: the tensor's derivatives, or the network's where the tensor's are but rounding.
    own = np.array([[np.abs(r.gradients[tensor]).max()] for r in references])  # (lambdas, 1)
    size = np.where(verdict.DECISIVE * own > rounding, own, largest)
    comparisons = {o: verdict.compare(ours, e.derivative, e.uncertainty, rounding, rtol, size) for o, e in estimates.items()}
    crossed = np.any([e.crossed for e in estimates.values()], axis=0)  # (entries,)
    counts = verdict.count(comparisons, crossed, switched)
    derivatives = {oracle: estimate.derivative for oracle, estimate in estimates.items()}
    return {
        "name": tensor,
        "shape": list(shape),
        "entries": int(np.prod(shape)),
        "checked": sum(counts.values()) - counts["undecided"],
        **counts,
        "diagnosis": None,
        "alone": verdict.votes(ours, derivatives, comparisons, rounding, rtol),
        "oracles": {o: verdict.summary(c, ours, estimates[o].derivative, shape, entries) for o, c in comparisons.items()},
    }
