"""A random cost as a pair: its right gradient, the truth about it, and an error planted in one visible entry."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cost_kinds import draw_expression
from benchmarks.cost_source import FORMS, Expression
from benchmarks.cost_truth import Array, NoTruth, Truth, is_constant, truth_of
from gradcheck import CheckResult, check

# The relative error that is planted.
ERROR = 1e-3


class DrawnCost(NamedTuple):
    """The pair of a seed, what it is like, and the truth about it."""

    seed: int
    kinds: tuple[str, ...]
    source: str
    parameters: dict[str, Any]
    cost: Callable[[Any], Any]
    gradients: Callable[[Any], Any]
    reference: Callable[[Any], Any] | None
    truth: Truth

    def check(self, gradients: Callable[[Any], Any]) -> CheckResult:
        """The CheckResult of these gradients of the cost."""
        with np.errstate(all="ignore"):
            return check(self.parameters, self.cost, gradients, self.reference, name=f"seed {self.seed}", seed=self.seed)


def draw_kinds(seed: int) -> tuple[np.random.Generator, Expression, list[str]]:
    """The expression of a seed, its kinds, and the generator for what else is drawn."""
    rng = np.random.default_rng([seed, 8])
    with np.errstate(all="ignore"):
        return rng, *draw_expression(rng)


def draw(seed: int) -> DrawnCost:
    """The pair of this seed.

    Raises:
        NoTruth: its gradient is not right, or nobody can know.
    """
    rng, expression, kinds = draw_kinds(seed)
    form = FORMS[rng.choice(len(FORMS), p=[0.4, 0.15, 0.2, 0.15, 0.1])]
    source = expression.pair_source(form)
    pair: dict[str, Any] = {}
    exec(compile(source, f"<seed {seed}>", "exec"), pair)
    with np.errstate(all="ignore"):
        truth = truth_of(expression, expression.parameters, rng)
        constant = is_constant(expression, expression.parameters, truth, rng)
        value, found = pair["cost"](pair["parameters"]), arrays(pair["gradients"](pair["parameters"]))
    if not np.isfinite(float(value)):
        raise NoTruth("the cost is not finite in float64")
    require_right(found, truth)
    ties = ["at a kink"] if truth.has_ties else []
    kinds = [*kinds, *ties, *(["constant"] if constant else []), form]
    functions = pair["parameters"], pair["cost"], pair["gradients"], pair.get("reference")
    return DrawnCost(seed, tuple(kinds), source, *functions, truth)


def arrays(gradients: dict[str, Any]) -> dict[str, Array]:
    return {name: np.asarray(gradient, np.float64) for name, gradient in gradients.items()}


def require_right(found: dict[str, Array], truth: Truth) -> None:
    """Raises NoTruth where an entry of the gradient in float64 lies outside the one-sided derivatives by more than it may."""
    for name, gradient in found.items():
        low, high = np.minimum(truth.left[name], truth.right[name]), np.maximum(truth.left[name], truth.right[name])
        outside = ~((low - truth.allowed[name] <= gradient) & (gradient <= high + truth.allowed[name]))
        if (outside & is_kink(truth, name)).any():
            raise NoTruth("the convention at a kink lies outside the one-sided derivatives")
        if outside.any():
            raise NoTruth("the gradient in float64 rounds worse than the derivative has to")


def is_kink(truth: Truth, name: str) -> Array:
    """Where the one-sided derivatives differ."""
    return np.abs(truth.right[name] - truth.left[name]) > truth.allowed[name]


def visible_entries(drawn: DrawnCost) -> list[tuple[str, int]]:
    """The tensor and flat index of each entry in which an error of ERROR can be known."""
    found = []
    for name, derivative in drawn.truth.right.items():
        # A derivative under 1e-300 has too few bits for an error of 1e-3.
        size = np.where(np.abs(derivative) > 1e-300, np.abs(derivative), 0)
        visible = (2 * drawn.truth.allowed[name] < ERROR * size) & ~is_kink(drawn.truth, name)
        found += [(name, int(entry)) for entry in np.flatnonzero(visible)]
    return found


def with_error(gradients: Callable[[Any], Any], name: str, factor: Any, p: Any) -> dict[str, Any]:
    """The gradients with one of them multiplied by `factor`, of its shape."""
    found = gradients(p)
    return found | {name: found[name] * factor}


def plant(drawn: DrawnCost) -> tuple[str, int, Callable[[Any], Any]] | None:
    """A visible entry and the gradients in which it is wrong; None where no entry is visible."""
    visible = visible_entries(drawn)
    if not visible:
        return None
    name, entry = visible[np.random.default_rng([drawn.seed, 9]).integers(len(visible))]
    factor = np.ones(drawn.truth.right[name].shape)
    factor.flat[entry] += ERROR
    like = drawn.parameters[name]
    return (
        name,
        entry,
        partial(with_error, drawn.gradients, name, factor if isinstance(like, np.ndarray) else like.new_tensor(factor)),
    )


def index_of(drawn: DrawnCost, name: str, entry: int) -> list[int]:
    return [int(place) for place in np.unravel_index(entry, drawn.truth.right[name].shape)]


def moved_by_error(drawn: DrawnCost, name: str, entry: int) -> float:
    """How far the planted error is off over a step as large as the parameter or 1, in units of the cost's last digit.

    Where it is under 1, no value of the cost near the point shows it: only a derivation that sees inside the cost can.
    """
    parameter, derivative = (float(np.asarray(each[name]).flat[entry]) for each in (drawn.parameters, drawn.truth.right))
    with np.errstate(all="ignore"):
        digits = abs(ERROR * derivative * max(abs(parameter), 1.0)) / np.spacing(abs(float(drawn.cost(drawn.parameters))))
    return float(np.nan_to_num(digits))
