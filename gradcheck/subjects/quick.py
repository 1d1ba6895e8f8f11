"""A quick check of a pair whose cost takes long: along a few random directions over all entries of all tensors together.

Along a direction v the claimed derivative, the sum of gradient * v, is compared with differences of the cost. Their error is
known from the same calls: what the differences of either side are apart covers curvature, kinks and most of the rounding.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradcheck import verdict
from gradcheck.arrays import Array, Arrays
from gradcheck.derivations.estimate import EPS, SIGMAS
from gradcheck.errors import OutOfTime, UserError
from gradcheck.faults import counted, gradient_or_nan, listed, wrong_form
from gradcheck.report.sentences import tolerance_note
from gradcheck.result import CheckResult, TensorRow, Verdict
from gradcheck.rounding.draws import SAFETY, UNIT
from gradcheck.subjects.pair import Calls, FirstCalls
from gradcheck.subjects.plan import Plan

# Steps along a direction that moves each parameter by its own size. Within the first, curvature is small, also where the cost
# oscillates; within the second, the rounding of a cost with few digits is. Where one alone is affordable, it is the first.
STEPS = (1e-8, 1e-3)

# No more tensors than these are named where any of them may be wrong.
MOST_NAMED = 8

# An error of the gradient is larger than a quarter of its size along one of two random directions in 95 cases of 100.
SEEN = 4


class Along(NamedTuple):
    """What is claimed along some directions and what rounding may change in it; and the derivative by differences of the cost,
    with its uncertainty: (directions,) each."""

    claimed: Array
    rounding: Array
    derivative: Array
    uncertainty: Array


class Quick:
    """The quick check of `calls` by `plan`, after the `first` calls; `tolerance` is what was asked for, by tensor."""

    def __init__(self, calls: Calls, plan: Plan, first: FirstCalls, seed: int, tolerance: Mapping[str, float]) -> None:
        self.calls, self.plan, self.first, self.tolerance = calls, plan, first, tolerance
        self.rng = np.random.default_rng([seed, 8])
        self.steps = STEPS if plan.both_steps else STEPS[:1]
        self.claimed = {name: gradient_or_nan(first.gradients, name, a.shape) for name, a in calls.parameters.items()}
        self.scales = {name: scale_of(array) for name, array in calls.parameters.items()}
        shapes = {name: array.shape for name, array in calls.parameters.items()}
        self.came = [name for name, shape in shapes.items() if wrong_form(first.gradients.get(name), name, shape) is None]
        self.finite = [name for name in self.came if np.isfinite(self.claimed[name]).all()]

    def check(self, name: str, deadline: float) -> CheckResult:
        """The result. If the gradient is wrong, and cost is called further before the deadline, it says which tensor's."""
        self.beside = self.claimed_beside()
        found = self.along([self.direction(self.finite) for _ in range(self.plan.directions)])
        size = self.size(found)
        judged = self.judged(found, size)
        verdicts: dict[str, Verdict] = dict.fromkeys(self.claimed, "fail")
        verdicts |= dict.fromkeys(self.finite, word(judged))
        alone: dict[str, verdict.Judgement] = {}
        faults = [*self.first.faults, *self.not_finite()]
        if word(judged) == "fail":
            self.calls.deadline = -math.inf if self.plan.asked else deadline
            alone = {self.finite[0]: judged} if len(self.finite) == 1 else self.tensor_by_tensor(size)
            faults.append(f"{self.in_words(found, judged)}; {self.where([t for t in alone if word(alone[t]) == 'fail'])}")
            verdicts |= {tensor: word(alone[tensor]) if tensor in alone else "undecided" for tensor in self.finite}
        return CheckResult(
            name=name,
            parameters=sum(array.size for array in self.claimed.values()),
            verdict="fail" if faults else verdict.overall(verdicts.values()),
            seconds=time.perf_counter() - self.calls.started,
            faults=faults,
            notes=[
                *self.first.notes,
                self.note(judged),
                *(tolerance_note(k, t, self.tolerated(k)) for k, t in self.tolerance.items()),
            ],
            sensitivity=self.sensitivity(found, judged, size),
            forward=[],
            tensors=[self.row(tensor, verdicts[tensor], alone.get(tensor)) for tensor in self.claimed],
            pictures={tensor: {"errors": np.full(a.shape, np.nan), "sweep": None} for tensor, a in self.claimed.items()},
        )

    def claimed_beside(self) -> Arrays | None:
        """What is claimed where each parameter is changed in its last digit: what rounding does. None where it raises."""
        unit = UNIT[self.calls.dtype]
        moved = {k: a * (1 + 2 * unit * self.rng.choice([-1.0, 1.0], a.shape)) for k, a in self.calls.parameters.items()}
        try:
            found = self.calls.claimed(moved, self.calls.dtype)
        except Exception:  # there is no gradient beside the parameters
            return None
        return {name: gradient_or_nan(found, name, array.shape) for name, array in moved.items()}

    def direction(self, tensors: Sequence[str]) -> Arrays:
        """A random direction that moves each entry of these tensors by about its own size, up or down: by different shares
        of it, so that two equal errors do not cancel."""
        return {name: self.scales[name] * self.weights(self.scales[name].shape) for name in tensors}

    def weights(self, shape: tuple[int, ...]) -> Array:
        return self.rng.uniform(0.5, 1.5, shape) * self.rng.choice([-1.0, 1.0], shape)

    def along(self, directions: Sequence[Arrays]) -> Along:
        """The claim and the differences along these directions."""
        costs = np.array([[self.costs(v, step) for step in self.steps] for v in directions])  # (D, steps, 2)
        derivative, uncertainty = differences(costs, self.first.cost, np.array(self.steps))
        claimed = np.array([dot(self.claimed, v) for v in directions])
        return Along(claimed, np.array([self.rounding(v) for v in directions]), derivative, uncertainty)

    def costs(self, direction: Arrays, step: float) -> list[float]:
        """The cost a step back along a direction, and a step on; not a number where it can't say."""
        return [
            self.cost_at({k: a + h * direction.get(k, 0.0) for k, a in self.calls.parameters.items()}) for h in (-step, step)
        ]

    def cost_at(self, arrays: dict[str, Array]) -> float:
        try:
            return float(np.real(self.calls.cost(arrays)))
        except UserError:
            return np.nan

    def rounding(self, direction: Arrays) -> float:
        """What rounding may change in the claim along a direction: by its last digits, and as it changes beside here."""
        if self.beside is None:
            return np.inf
        own = np.sqrt(sum(float(((self.claimed[name] * v) ** 2).sum()) for name, v in direction.items()))
        change = abs(dot(self.beside, direction) - dot(self.claimed, direction))
        tolerated = sum(self.tolerated(name) * float(np.abs(v).sum()) for name, v in direction.items())
        return float(SAFETY * (UNIT[self.calls.dtype] * own + change)) + tolerated

    def tolerated(self, tensor: str) -> float:
        """What was asked for that each entry of a tensor may be off by."""
        return self.tolerance.get(tensor, 0.0) * float(np.abs(self.claimed[tensor]).max())

    def size(self, found: Along) -> float:
        """The size of a derivative along a random direction."""
        claimed = np.sqrt(sum(float(((self.claimed[name] * self.scales[name]) ** 2).sum()) for name in self.finite))
        known = np.abs(found.derivative[np.isfinite(found.derivative)])
        return float(np.fmax(claimed, known.max(initial=0.0)))

    def judged(self, found: Along, size: float) -> verdict.Judgement:
        """The claim against the differences, (1, directions) each."""
        claimed, rounding, derivative, uncertainty = (each[None] for each in found)
        return verdict.compare(claimed, derivative, uncertainty, rounding, verdict.RESOLVED[self.calls.dtype], size)

    def tensor_by_tensor(self, size: float) -> dict[str, verdict.Judgement]:
        """The claim along a direction in each tensor alone, as far as the time goes."""
        found = {}
        for tensor in self.finite:
            try:
                found[tensor] = self.judged(self.along([self.direction([tensor])]), size)
            except OutOfTime:
                break
        return found

    def not_finite(self) -> list[str]:
        names = [name for name in self.came if name not in self.finite]
        return [f"the gradient of {listed(names)} is not finite everywhere"] if names else []

    # Words.

    def in_words(self, found: Along, judged: verdict.Judgement) -> str:
        wrong = (judged.decided & ~judged.agrees)[0]
        worst = int(np.argmax(np.where(wrong, judged.over_allowed()[0], -1)))
        values = f"the claimed derivative is {found.claimed[worst]:.6g}, differences say {found.derivative[worst]:.6g}"
        along = f"along {wrong.sum()} of {counted(len(wrong), 'random direction')} over all entries"
        return f"{along} the gradient is wrong: {values}"

    def where(self, wrong: Sequence[str]) -> str:
        """Which tensors are `wrong` along a direction in each alone; where none is known to be, how to learn it."""
        if wrong:
            return f"the error is in {listed(wrong)}"
        which = listed(self.finite) if len(self.finite) <= MOST_NAMED else counted(len(self.finite), "tensor")
        if self.plan.asked:
            return f"so few calls cannot say in which of {which}: the check without --quick (quick=True) can"
        return f"the budget did not last to say in which of {which}: a check with a larger --budget (budget=...) can"

    def note(self, judged: verdict.Judgement) -> str:
        decided = f"{int(judged.decided.sum())} of them could be decided"
        few = "" if self.plan.both_steps else "; the budget affords fewer calls than a sure verdict needs"
        return f"QUICK: {self.plan.sentence()}; {decided}; an error in single entries may hide{few}"

    def sensitivity(self, found: Along, judged: verdict.Judgement, size: float) -> str:
        allowed = (found.uncertainty + found.rounding)[judged.decided[0]]
        if not allowed.size or not size > 0 or not np.isfinite(size):
            return "a quick check: no error of the gradient would have shown"
        limit = SEEN * float(allowed.min()) / size
        return (
            f"a quick check: would have caught an error of the whole gradient of {limit:.0e} of its size; smaller ones may hide"
        )

    def row(self, tensor: str, its: Verdict, alone: verdict.Judgement | None) -> TensorRow:
        size = self.claimed[tensor].size
        row: TensorRow = {
            "name": tensor,
            "shape": list(self.claimed[tensor].shape),
            "entries": size,
            "checked": 0,
            "pass": 0,
            "fail": 0,
            "kink": 0,
            "undecided": size if its == "undecided" else 0,
            "verdict": its,
            "diagnosis": None,
            "tie": None,
            "between": None,
            "alone": {},
            "sensitivity": None,
            "oracles": {},
            "directions": None,
            "taylor": None,
            "tolerance": self.tolerance.get(tensor),
        }
        if alone is not None:
            row["directions"] = {
                "checked": int(alone.decided.sum()),
                "fail": int((alone.decided & ~alone.agrees).sum()),
                "entry": None,
            }
        return row


def scale_of(array: Array) -> Array:
    """The size of each entry, of a 0 that of the others."""
    size = float(np.sqrt(np.mean(array**2))) or 1.0
    return np.where(array == 0, size, np.abs(array))


def dot(arrays: Arrays, direction: Arrays) -> float:
    return float(sum(float((arrays[name] * v).sum()) for name, v in direction.items()))


def word(judged: verdict.Judgement) -> Verdict:
    """A direction that could be decided and disagrees fails; one that could not leaves all undecided."""
    if (judged.decided & ~judged.agrees).any():
        return "fail"
    return "pass" if judged.decided.any() else "undecided"


def differences(costs: Array, base: float, steps: Array) -> tuple[Array, Array]:
    """The derivatives along some directions and their uncertainty, from costs (directions, steps, 2) on both sides.

    The derivatives of either side are apart by curvature, by kinks and by rounding. Within the smallest step that is mostly
    rounding; of a cost whose every value is a float32 it is that of float32. What the larger step says is off by as much as it
    differs from the smaller one, and that one from the truth: a cost that is odd around the point bends without a curvature.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        central = (costs[..., 1] - costs[..., 0]) / (2 * steps)  # (directions, steps)
        bend = np.abs(costs[..., 0] - 2 * base + costs[..., 1])
    if not (costs != base).any():
        return central[:, 0], np.full(len(costs), np.inf)  # it does not move: nothing is known
    values = np.append(costs, base)
    digits = UNIT["float32"] if (values.astype(np.float32) == values).all() else EPS
    rounding = digits * np.nanmax(np.abs(values))
    noise = max(rounding, np.nanmax(bend[:, 0], initial=0))
    uncertainty = bend / (2 * steps) + SIGMAS * noise / steps
    if digits == EPS:  # else the rounding of the smaller step is far above any bend
        uncertainty[:, 1:] += np.abs(np.diff(central, axis=1)) + uncertainty[:, :1]
    if noise > SIGMAS * rounding:
        # It oscillates, or is noisy: larger steps may agree with each other on what it is like from afar.
        uncertainty[:, 1:] = np.inf
    best = np.argmin(np.where(np.isnan(uncertainty), np.inf, uncertainty), axis=1)
    places = np.arange(len(costs))
    found, off = central[places, best], uncertainty[places, best]
    # Two steps that contradict each other know no more than by how much.
    apart = np.abs(central - found[:, None])
    off = np.where(apart > uncertainty + off[:, None], apart, 0).max(axis=1) + off
    return found, np.where(np.isfinite(off), off, np.inf)
