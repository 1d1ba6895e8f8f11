"""The mistakes that can be made in the derivative of one operation: its words, and what runs in its place.

Words hold {text} for the operation and {operands[0]}, ... for what it computes with, as they stand in the user's file. Changes
work for NumPy's functions and for PyTorch's.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from gradcheck.diagnosis.label_slips import smoothings
from gradcheck.diagnosis.lookup_slips import counted_once
from gradcheck.diagnosis.operations import Call, Slip, with_derivative
from gradcheck.torch_if_there import is_tensor

# A number that is added and so small is a guard, against a logarithm of 0 or a division by it.
GUARD = 1e-3

# Operations that bound a number.
BOUNDS = ("maximum", "minimum", "clip", "clamp", "clamp_min", "clamp_max")

# By operation, what is taken for its derivative at z where it returns y.
SLOPES: dict[str, dict[str, Callable[[Any, Any], Any]]] = {
    "tanh": {
        "the derivative of {text} is taken to be 1 - tanh(z)": lambda z, y: 1 - y,
        "the derivative of {text} is taken to be 1 - z**2": lambda z, y: 1 - z**2,
        "the derivative of {text} is taken to be 1 - tanh(tanh(z))**2": lambda z, y: 1 - np.tanh(y) ** 2,
        "the derivative of {text} is taken to be tanh(z) * (1 - tanh(z))": lambda z, y: y * (1 - y),
        "the derivative of {text} is taken to be 1 + tanh(z)**2": lambda z, y: 1 + y**2,
        "the derivative of {text} is taken to be 1 - z": lambda z, y: 1 - z,
        "the derivative of {text} is taken to be (1 - tanh(z))**2": lambda z, y: (1 - y) ** 2,
        "the derivative of {text} is taken to be 1 - 2 * tanh(z)": lambda z, y: 1 - 2 * y,
        "the derivative of {text} is taken to be tanh(z)**2": lambda z, y: y**2,
    },
    "exp": {"the factor 1 - s of the derivative of a sigmoid s is missing, which is computed from {text}": lambda z, y: 1 + y},
    "sigmoid": {
        "the factor 1 - s of the derivative of the sigmoid s is missing, which is {text}": lambda z, y: y,
        "the factor s of the derivative of the sigmoid s is missing, which is {text}": lambda z, y: 1 - y,
        "the derivative of {text} is taken of s instead of z": lambda z, y: 1 / (2 + np.exp(y) + np.exp(-y)),
    },
}


def slips(operation: str, call: Call) -> Iterator[Slip]:
    """All of one operation."""
    if operation == "add":
        yield from guards(call)
    places = call.carriers()
    if operation in BOUNDS and len(places) == 1:
        words = f"the cost bounds {{operands[{places[0]}]}} in {{text}}, and the gradient does not"
        yield words, partial(alone, place=places[0])
    if len(places) == 1:
        yield from wrong_derivatives(operation, call, places[0])
    for place in places:
        yield f"the path through {{operands[{place}]}} in {{text}} is missing", partial(without_path, place=place)
    if places:
        yield from smoothings(operation, call)


def slips_in_rows(call: Call) -> Iterator[Slip]:
    """A loop over the rows of what an operation returns that leaves one out, or goes through one alone."""
    rows = np.shape(call.result())[:1]
    if not rows or rows[0] < 2:
        return
    for place in call.carriers():
        for kept, words in (
            (slice(1), f"all but the first of its {rows[0]} rows"),
            (slice(1, None), f"the first of its {rows[0]} rows"),
            (slice(-1), f"the last of its {rows[0]} rows"),
        ):
            path = f"the path through {{operands[{place}]}} in {{text}} is missing in {words}"
            yield path, partial(in_rows, place=place, kept=kept)


def without_path(call: Call, place: int) -> Any:
    """What the operation returns, with no derivative through the argument at `place`."""
    return call.without(place).result()


def in_rows(call: Call, place: int, kept: slice) -> Any:
    """What the operation returns, with the derivative through the argument at `place` in some rows alone."""
    whole, changed = call.result(), call.without(place).result()
    derivative = changed.imag + 0
    derivative[kept] = whole.imag[kept]
    return with_derivative(whole, derivative)


def guards(call: Call) -> Iterator[Slip]:
    """A tiny number is added in the cost, and not in what was derived."""
    for place in (0, 1):
        guard, other = call.arguments[place], 1 - place
        if isinstance(guard, float) and 0 < abs(guard) <= GUARD:
            difference = f"the difference is {guard:.0e} / {{operands[{other}]}}"
            words = f"the cost has a guard that the gradient leaves out, {{text}}; {difference}"
            yield words, partial(alone, place=other)


def alone(call: Call, place: int) -> Any:
    """The argument at `place` alone."""
    return call.arguments[place] + 0.0


def wrong_derivatives(operation: str, call: Call, place: int) -> Iterator[Slip]:
    """Of an operation of one variable, the argument at `place`."""
    x, y = call.at(place), call.result()
    if np.shape(x) == np.shape(y) and not bool((x.imag == y.imag).all()):
        what = "factor" if operation in ("multiply", "divide", "matmul") else "derivative"
        yield f"the {what} of {{text}} is left out", partial(passed_on, place=place)
    if operation in ("multiply", "divide"):
        yield "the factor of {text} is taken twice", partial(twice, place=place)
    for words, slope in SLOPES.get(operation, {}).items():
        yield words, partial(sloping, place=place, slope=slope)
    if operation in ("multiply", "where"):
        yield from kept_mask(call, place)
    if operation in ("add.reduce", "sum", "mean"):
        yield from sums_for_means(operation, call, place)
    yield from counted_once(operation, call, place)


def kept_mask(call: Call, place: int) -> Iterator[Slip]:
    """A mask of zeros and one other number, such as that of a dropout, of which the gradient keeps the number alone."""
    for other, value in enumerate(call.arguments):
        if other == place or not np.ndim(value):
            continue
        kept = np.unique(np.real(np.asarray(value)).astype(float))
        if len(kept) == 2 and kept[0] == 0:
            words = f"the zeros of {{operands[{other}]}} in {{text}} are left out, and all is multiplied by {kept[1]:.6g}"
            yield words, partial(passed_on, place=place, factor=kept[1])


def sums_for_means(operation: str, call: Call, place: int) -> Iterator[Slip]:
    """A mean taken for a sum, a sum for a mean, or a mean taken twice, over all that is summed up or over one of its axes."""
    shape, found = np.shape(call.at(place)), np.shape(call.result())
    for count in sorted({*shape, int(np.prod(shape) // max(np.prod(found), 1))} - {0, 1}):
        if operation == "mean":
            yield f"the mean {{text}} is taken for a sum over {count}", partial(scaled, factor=count)
        words = f"the gradient divides {{text}} by {count} once more than the cost does, as a mean over {count} would"
        yield words, partial(scaled, factor=1 / count)


def scaled(call: Call, factor: float) -> Any:
    """What the operation returns, with a multiple of its derivative."""
    found = call.result()
    return with_derivative(found, factor * found.imag)


def sloping(call: Call, place: int, slope: Callable[[Any, Any], Any]) -> Any:
    """What a function of one number returns, with `slope(z, y)` for its derivative."""
    z, y = call.at(place), call.result()
    slopes = slope(np.asarray(z.real), np.asarray(y.real))
    return with_derivative(y, z.imag.new_tensor(slopes) * z.imag if is_tensor(z) else slopes * z.imag)


def passed_on(call: Call, place: int, factor: float = 1.0) -> Any:
    """What the operation returns, with the derivative of the argument at `place` as it came, or a multiple of it."""
    return with_derivative(call.result(), factor * call.at(place).imag)


def twice(call: Call, place: int) -> Any:
    """What a product returns, with the derivative multiplied by the other factor once more."""
    again = list(call.arguments)
    again[place] = call.result().imag
    return with_derivative(call.result(), call.function(*again, **call.keywords).real)
