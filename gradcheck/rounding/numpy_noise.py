"""Stochastic arithmetic for NumPy code: arrays whose every operation rounds up or down at random (see `draws.py`)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.rounding.continuation import call_function, call_ufunc
from gradcheck.rounding.draws import Choices, uncertainty_over_draws

# These round nothing; an equality that code relies on, as of a maximum with what it was taken from, has to hold.
UNROUNDED = {np.maximum, np.minimum, np.fmax, np.fmin, np.negative, np.positive, np.absolute, np.copysign, np.conjugate}
# Their result is one of their inputs: which of them, a run is held to.
SELECTING = {np.maximum, np.minimum, np.fmax, np.fmin}
# These jump, and a run is held to their results.
JUMPING = {np.sign, np.floor, np.ceil, np.trunc, np.rint, np.heaviside, np.floor_divide}
JUMPING_FUNCTIONS: set[Callable[..., Any]] = {np.round, np.around, np.fix}
# The functions that round and are not ufuncs.
ROUNDED_FUNCTIONS: set[Callable[..., Any]] = {
    *(np.einsum, np.tensordot, np.dot, np.inner, np.outer, np.vdot, np.convolve, np.trace),
    *(np.prod, np.cumsum, np.sum, np.mean, np.var, np.std, np.average),
    *(np.linalg.norm, np.linalg.solve, np.linalg.inv, np.linalg.det),
}


def rounding_uncertainty_of_numpy(
    evaluate: Callable[[dict[str, Array]], Arrays],
    inputs: Arrays,
    dtype: str,
    fell_back: Callable[[Exception | None], None] = lambda error: None,
) -> dict[str, Array]:
    """As `rounding_uncertainty` of `torch_noise.py`, for an `evaluate` that computes with NumPy.

    Code that does not run on a subclass of ndarray runs on plain arrays; the inputs alone are then changed, and
    `fell_back(error)` is called with what was raised, or with None where the code runs but leaves NumPy at once.
    """
    rng, reached = np.random.default_rng(1), 0

    def run(inputs: dict[str, Array], unit: float, choices: Choices, noisy: bool = True) -> Arrays:
        nonlocal reached
        noise = Noise(unit, rng, choices)
        arrays = {name: array.astype(dtype) for name, array in inputs.items()}
        values = evaluate({name: noise.array(array) for name, array in arrays.items()} if noisy else arrays)
        reached += noise.results
        return {name: np.array(value, np.float64) for name, value in values.items()}

    try:
        found = uncertainty_over_draws(run, inputs, dtype)
    except Exception as error:
        found = uncertainty_over_draws(partial(run, noisy=False), inputs, dtype)
        fell_back(error)
        return found
    if not reached:
        fell_back(None)
    return found


class Noise:
    """One noisy run: its `unit` (0 takes note of the choices alone), its generator, and its `choices`.

    `results` counts what was computed on its arrays.
    """

    def __init__(self, unit: float, rng: np.random.Generator, choices: Choices | None = None) -> None:
        self.unit, self.rng = unit, rng
        self.choices = choices or Choices()
        self.results = 0

    def array(self, array: Array) -> "Noisy":
        """A Noisy copy of an array."""
        noisy = np.array(array).view(Noisy)
        noisy.noise = self
        return noisy

    def chosen(self, own: Any) -> Array:
        """What the run chooses where it would choose `own` by itself; the code under test may change its own in place."""
        return np.array(self.choices(np.array(own)))

    def changed(self, result: Any, rounds: bool) -> Any:
        """What a function returned, with its floating arrays as Noisy ones, changed by one unit where the function `rounds`."""
        if isinstance(result, list | tuple):
            return rebuilt(result, [self.changed(part, rounds) for part in result])
        if not isinstance(result, np.ndarray | np.generic):
            return result
        array = np.asarray(result)
        self.results += 1
        if array.dtype.kind in "biu":  # comparisons, and the indices of a maximum
            return self.chosen(array)
        if array.dtype.kind not in "fc":
            return array
        if rounds and self.unit:
            array = (array * (1 + 2 * self.unit * self.rng.choice([-1.0, 1.0], array.shape))).astype(array.dtype)
        return self.array(array)


def as_method(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method that NumPy lets a subclass of ndarray see, as it does functions."""
    return lambda self, *arguments, **keywords: function(self, *arguments, **keywords)


class Noisy(np.ndarray):
    """An array that changes every floating result computed from it by one `noise.unit`, relatively.

    What is computed from a Noisy array is one too, so that code under test runs as it is. `noise` is the Noise it belongs to.
    """

    noise: Any  # None in an array that NumPy has just made
    argmax: Any = as_method(np.argmax)
    argmin: Any = as_method(np.argmin)
    argsort: Any = as_method(np.argsort)
    nonzero: Any = as_method(np.nonzero)
    round: Any = as_method(np.round)
    var: Any = as_method(np.var)
    std: Any = as_method(np.std)
    conj: Any = as_method(np.conjugate)
    conjugate: Any = as_method(np.conjugate)

    def __array_finalize__(self, parent: Any) -> None:
        self.noise = getattr(parent, "noise", None)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] | None = None, **keywords: Any
    ) -> Any:
        if out is not None:
            keywords["out"] = tuple(map(plain, out))
        inputs = tuple(map(plain, inputs))
        result = call_ufunc(ufunc, method, inputs, keywords)
        if ufunc in SELECTING and method == "__call__":
            chosen = np.where(self.noise.chosen(result == inputs[0]), *inputs)
            result = np.where(keywords.get("where", True), chosen, result)
        if ufunc in JUMPING:
            result = self.noise.chosen(result)
        result = self.noise.changed(result, rounds=ufunc not in UNROUNDED | JUMPING)
        if out is None:
            return result
        for array, value in zip(out, result if len(out) > 1 else (result,), strict=True):
            array[...] = value
        return out if len(out) > 1 else out[0]

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        arguments, keywords = with_plain_arrays(arguments), with_plain_arrays(keywords)
        result = (call_function if self.dtype.kind == "c" else call_plainly)(function, arguments, keywords)
        if function in JUMPING_FUNCTIONS:
            result = self.noise.chosen(result)
        return self.noise.changed(result, rounds=function in ROUNDED_FUNCTIONS)

    def __getitem__(self, index: Any) -> Any:
        """As of any array; a single number is an array of no dimensions, so that what is computed from it rounds too."""
        found = super().__getitem__(index)
        return self.noise.array(found) if isinstance(found, np.inexact) and self.noise is not None else found

    def astype(self, dtype: Any, *arguments: Any, **keywords: Any) -> Any:
        """As of any array; whole numbers and truth values are choices."""
        array = plain(self).astype(dtype, *arguments, **keywords)
        return self.noise.changed(array, rounds=False)


def call_plainly(function: Any, arguments: Any, keywords: Any) -> Any:
    return function(*arguments, **keywords)


def plain(value: Any) -> Any:
    """The same value, an array of a subclass as a plain one."""
    return value.view(np.ndarray) if isinstance(value, np.ndarray) else value


def with_plain_arrays(value: Any) -> Any:
    """The same lists, tuples and dicts, with plain arrays in them."""
    if isinstance(value, list | tuple):
        return rebuilt(value, [*map(with_plain_arrays, value)])
    if isinstance(value, dict):
        return {key: with_plain_arrays(part) for key, part in value.items()}
    return plain(value)


def rebuilt(value: Any, parts: list[Any]) -> Any:
    """A list or tuple of the same type with other parts, also a named one, as `np.linalg.eigh` returns it."""
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
