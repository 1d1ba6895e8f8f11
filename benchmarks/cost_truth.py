"""The derivatives of a random cost: in 400 digits, one-sided where there is a kink, and how well float64 can know them.

`Dual` carries a value and its derivatives along some directions through an expression, forwards, by rules of its own: it shares
nothing with the backward passes that are claimed. With `Digits` the numbers have 400 digits (mpmath). With `Floats` they are
float64 and each operation's result moves at random by up to its rounding: how far that moves the derivatives is how well a
computation in float64 can know them.

A kink is the largest of some alternatives: `Digits` writes down which of them are the largest and `Floats` keeps to it, so that
rounding is measured on the piece that the exact numbers lie on.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import mpmath  # type: ignore[import-untyped]
import numpy as np

Array = np.ndarray

# A softmax of logits 700 apart is 1 - 1e-304: so many digits have some left of what it lacks to 1.
DIGITS = 400
ULP, SMALLEST = 2.0**-53, 2.0**-1074
DRAWS, SAFETY = 16, 4.0

MANY_DIGITS = mpmath.mp.clone()
MANY_DIGITS.dps = DIGITS


class NoTruth(Exception):
    """The message says why this cost has no right gradient that float64 could know."""


class Digits:
    """Arithmetic in 400 digits. `branches` gets the alternatives taken at each kink, `tied` says that there were several."""

    def __init__(self) -> None:
        self.branches: list[Array] = []
        self.tied = False

    def array(self, value: Any) -> Array:
        """An array of numbers with 400 digits."""
        return np.asarray(np.frompyfunc(MANY_DIGITS.mpf, 1, 1)(np.asarray(value, np.float64)), object)

    def __getattr__(self, name: str) -> Callable[[Array], Any]:
        return np.frompyfunc(getattr(MANY_DIGITS, name), 1, 1)

    def rounded(self, array: Any) -> Array:
        return np.asarray(array, object)

    def branch(self, found: Array, tie: bool, jump: bool) -> Array:
        """Writes down the alternatives `found` at a kink; at a jump a tie has no derivative."""
        if tie and jump:
            raise NoTruth("the point lies on a jump")
        self.tied |= tie
        self.branches.append(found)
        return found


class Floats:
    """Arithmetic in float64, each result moved at random by up to `ulps` of its rounding, on the piece of `branches`."""

    def __init__(self, branches: list[Array], rng: np.random.Generator, ulps: float) -> None:
        self.branches, self.rng, self.ulps = iter(branches), rng, ulps

    def array(self, value: Any) -> Array:
        return self.rounded(np.asarray(value, np.float64))

    def __getattr__(self, name: str) -> Callable[[Array], Any]:
        return getattr(np, name)

    def rounded(self, array: Any) -> Array:
        array = np.asarray(array, np.float64)
        u = self.ulps * self.rng.uniform(-1, 1, array.shape)
        return array + u * (2 * ULP * np.abs(array) + SMALLEST * (array != 0))

    def branch(self, found: Array, tie: bool, jump: bool) -> Array:
        """The alternatives in 400 digits. Raises NoTruth where there is one and float64 finds another."""
        exact = next(self.branches)
        differs = found != exact
        alone = exact.sum(axis=0) == 1 if exact.dtype == bool else np.ones(exact.shape, bool)
        if np.any(differs & alone) or (not self.ulps and np.any(differs)):
            raise NoTruth("a kink or a jump lies within rounding")
        return exact


class Dual:
    """`value` (shape) and `tangents` (directions, shape), its derivatives along each direction; None where they are all 0."""

    def __init__(self, arithmetic: Any, value: Any, tangents: Any | None) -> None:
        self.arithmetic = arithmetic
        self.value: Array = arithmetic.rounded(value)
        self.tangents: Array | None = None if tangents is None else arithmetic.rounded(tangents)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def linear(self, function: Callable[[Array], Array]) -> "Dual":
        """`function`, linear, of the value and of each tangent; it counts axes from the last."""
        return Dual(self.arithmetic, function(self.value), None if self.tangents is None else function(self.tangents))

    def moved(self, function: Callable[[Array], Array]) -> "Dual":
        """`function` that only moves numbers about, of the value and of each tangent."""
        tangents = None if self.tangents is None else np.array([function(tangent) for tangent in self.tangents])
        return Dual(self.arithmetic, function(self.value), tangents)

    def unary(self, function: Callable[[Any, Array], Any], slope: Callable[[Any, Array, Array], Any]) -> "Dual":
        """An elementwise function(arithmetic, x) with the derivative slope(arithmetic, x, function of x)."""
        out = self.arithmetic.rounded(function(self.arithmetic, self.value))
        if self.tangents is None:
            return Dual(self.arithmetic, out, None)
        return Dual(self.arithmetic, out, self.arithmetic.rounded(slope(self.arithmetic, self.value, out)) * self.tangents)

    def constant(self, value: Any) -> "Dual":
        return value if isinstance(value, Dual) else Dual(self.arithmetic, self.arithmetic.array(value), None)

    def __neg__(self) -> "Dual":
        return self.linear(lambda x: -x)

    def __add__(self, other: Any) -> "Dual":
        other = self.constant(other)
        value = np.asarray(self.value + other.value)
        return Dual(self.arithmetic, value, added(self.spread(value.ndim), other.spread(value.ndim), value.shape))

    def __sub__(self, other: Any) -> "Dual":
        return self + -self.constant(other)

    def __rsub__(self, other: Any) -> "Dual":
        return -self + other

    def __mul__(self, other: Any) -> "Dual":
        other = self.constant(other)
        value = np.asarray(self.value * other.value)
        own, others = self.spread(value.ndim), other.spread(value.ndim)
        first = None if own is None else own * other.value
        second = None if others is None else self.value * others
        return Dual(self.arithmetic, value, added(first, second, value.shape))

    __radd__, __rmul__ = __add__, __mul__

    def reciprocal(self) -> "Dual":
        return self.unary(lambda xp, x: 1 / x, lambda xp, x, out: -out * out)

    def __matmul__(self, other: "Dual") -> "Dual":
        """Matrix (n, k) times matrix (k, m) or vector (k,)."""
        value = np.asarray(self.value @ other.value)
        first = None if self.tangents is None else self.tangents @ other.value
        second = None
        if other.tangents is not None:
            second = (self.value @ other.tangents.T).T if other.value.ndim == 1 else self.value @ other.tangents
        return Dual(self.arithmetic, value, added(first, second, value.shape))

    def sum(self, axis: int | None = None) -> "Dual":
        """The sum over one axis, negative, or over all."""
        axes = tuple(range(-self.value.ndim, 0)) if axis is None else (axis,)
        return self.linear(lambda x: x.sum(axis=axes)) if axes else self

    def largest(self, *others: Any) -> "Dual":
        """The largest of this and `others`, entry by entry."""
        return stacked(self, *map(self.constant, others)).largest_of_first()

    def largest_of_first(self) -> "Dual":
        """The largest along the first axis; where several are, the derivative along a direction is their largest as well."""
        value = np.asarray(self.value.max(axis=0))
        is_largest = (self.value == value).astype(bool)
        is_largest = self.arithmetic.branch(is_largest, bool((is_largest.sum(axis=0) > 1).any()), False)
        if self.tangents is None:
            return Dual(self.arithmetic, value, None)
        lowest = self.tangents.min(axis=1, keepdims=True)
        return Dual(self.arithmetic, value, np.where(is_largest, self.tangents, lowest).max(axis=1))

    def step(self, function: Callable[[Array], Array], on_jump: Callable[[Array], Array]) -> "Dual":
        """A function that is constant between jumps; `on_jump(x)` says where x lies on one."""
        x = np.asarray(self.value, np.float64)
        found = self.arithmetic.branch(np.asarray(function(x)), bool(np.any(on_jump(x))), True)
        return Dual(self.arithmetic, self.arithmetic.array(found), None)

    def norm(self) -> "Dual":
        """The Euclidean norm of all entries; at 0 its derivative along a direction is that direction's norm."""
        is_zero = not np.any(self.value != 0)
        if not self.arithmetic.branch(np.array([True, is_zero]), is_zero, False)[1]:
            return (self * self).sum().unary(lambda xp, x: xp.sqrt(x), lambda xp, x, out: 1 / (2 * out))
        if self.tangents is None:
            return self.sum()
        squares = (self.tangents**2).reshape(len(self.tangents), -1).sum(axis=1)
        return Dual(self.arithmetic, self.arithmetic.array(0.0), self.arithmetic.sqrt(squares))

    def spread(self, ndim: int) -> Array | None:
        """The tangents with axes of length 1 so that they broadcast as the value does among arrays of `ndim` axes."""
        if self.tangents is None:
            return None
        return self.tangents.reshape(len(self.tangents), *(1,) * (ndim - self.value.ndim), *self.shape)


def added(first: Array | None, second: Array | None, shape: tuple[int, ...]) -> Any:
    """The sum of two tangents, None for 0, of a value of this shape."""
    if first is None or second is None:
        found = second if first is None else first
        return None if found is None else np.broadcast_to(found, (len(found), *shape))
    return first + second


def stacked(*parts: Dual) -> Dual:
    """Duals of shapes that broadcast, one behind the other along a new first axis."""
    arithmetic, shape = parts[0].arithmetic, np.broadcast_shapes(*(part.shape for part in parts))
    value = np.stack([np.broadcast_to(part.value, shape) for part in parts])
    count = next((len(part.tangents) for part in parts if part.tangents is not None), None)
    if count is None:
        return Dual(arithmetic, value, None)
    zeros = arithmetic.array(np.zeros((count, *shape)))
    tangents = [added(part.spread(len(shape)), zeros, shape) for part in parts]
    return Dual(arithmetic, value, np.stack(tangents, axis=1))


class Truth(NamedTuple):
    """The one-sided derivatives of a cost by parameter, and how far float64 may be off there, all as float64 arrays.

    `left` and `right` are those of lower and of higher values of that one entry, the smaller one first where it matters not.
    """

    left: dict[str, Array]
    right: dict[str, Array]
    allowed: dict[str, Array]
    has_ties: bool


# A cost as an expression: from duals by name to the dual of a single number.
Expression = Callable[[Mapping[str, Dual]], Dual]


def derivatives(expression: Expression, parameters: Mapping[str, Array], arithmetic: Any, side: int) -> Array:
    """The derivatives along each entry of each parameter in turn, towards its higher values (side 1) or from the lower (-1)."""
    total = sum(array.size for array in parameters.values())
    duals, first = {}, 0
    for name, array in parameters.items():
        tangents = np.zeros((total, array.size))
        tangents[first : first + array.size] = side * np.eye(array.size)
        duals[name] = Dual(arithmetic, arithmetic.array(array), arithmetic.array(tangents).reshape(total, *array.shape))
        first += array.size
    found = expression(duals).tangents
    return arithmetic.array(np.zeros(total)) if found is None else side * found


def by_name(parameters: Mapping[str, Array], flat: Array) -> dict[str, Array]:
    """One array in the parameters' shapes from the numbers of all of them."""
    ends = np.cumsum([array.size for array in parameters.values()])[:-1]
    return {
        name: part.reshape(array.shape)
        for (name, array), part in zip(parameters.items(), np.split(np.asarray(flat, np.float64), ends), strict=True)
    }


def truth_of(expression: Expression, parameters: Mapping[str, Array], rng: np.random.Generator) -> Truth:
    """The truth about a cost. Float64 may be off by SAFETY times the furthest of DRAWS computations that round at random.

    Raises:
        NoTruth: the point lies on a jump, or a kink lies within rounding of it, or the numbers do not exist.
    """
    exact = Digits()
    sides = {1: derivatives(expression, parameters, exact, 1)}
    branches = exact.branches.copy()
    sides[-1] = derivatives(expression, parameters, exact, -1) if exact.tied else sides[1]
    furthest = np.zeros(len(sides[1]))
    for side in (1, -1) if exact.tied else (1,):
        for draw in range(DRAWS):
            found = derivatives(expression, parameters, Floats(branches, rng, float(draw > 0)), side)
            furthest = np.maximum(furthest, np.abs(np.asarray(exact.array(found) - sides[side], np.float64)))
    if not np.isfinite(furthest).all():
        raise NoTruth("float64 overflows")
    left, right, allowed = (by_name(parameters, each) for each in (sides[-1], sides[1], SAFETY * (furthest + SMALLEST)))
    return Truth(left, right, allowed, exact.tied)


def is_constant(expression: Expression, parameters: Mapping[str, Array], truth: Truth, rng: np.random.Generator) -> bool:
    """Whether all derivatives are 0, here and at a point nearby: then there is nothing to verify."""
    if any(array.any() for side in (truth.left, truth.right) for array in side.values()):
        return False
    nearby = {name: array + 1e-3 * (1 + np.abs(array)) * rng.uniform(0.5, 1, array.shape) for name, array in parameters.items()}
    return not np.asarray(derivatives(expression, nearby, Digits(), 1), np.float64).any()
