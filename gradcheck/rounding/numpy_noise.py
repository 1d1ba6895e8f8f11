"""Stochastic arithmetic for NumPy code: arrays whose every operation rounds up or down at random (see `draws.py`)."""

import numpy as np

from gradcheck.rounding.draws import over_draws

# They round nothing; an equality that code relies on, as of a maximum with what it was taken from, has to hold.
UNROUNDED = {np.maximum, np.minimum, np.fmax, np.fmin, np.negative, np.positive, np.absolute, np.copysign, np.conjugate}
# They jump: a run in which one gives another number has taken another branch.
DISCONTINUOUS = {np.sign, np.floor, np.ceil, np.trunc, np.rint, np.heaviside}
# The functions that are no ufuncs and round.
ROUNDED_FUNCTIONS = {
    np.einsum,
    np.tensordot,
    np.dot,
    np.inner,
    np.outer,
    np.vdot,
    np.convolve,
    np.prod,
    np.cumsum,
    np.sum,
    np.mean,
}
ROUNDED_FUNCTIONS |= {np.var, np.std, np.average, np.trace, np.linalg.norm, np.linalg.solve, np.linalg.inv, np.linalg.det}


def as_method(function):
    """A method that NumPy lets a subclass of ndarray see, as it does functions."""
    return lambda self, *arguments, **keywords: function(self, *arguments, **keywords)


class Noisy(np.ndarray):
    """An array that changes every floating result computed from it by one `noise.unit`, relatively.

    What is computed from a Noisy array is one too, so that code under test runs as it is. `noise` is the Noise it belongs to.
    """

    noise = None
    argmax, argmin, argsort, nonzero = map(as_method, (np.argmax, np.argmin, np.argsort, np.nonzero))

    def __array_finalize__(self, parent):
        self.noise = getattr(parent, "noise", None)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **keywords):
        if out is not None:
            keywords["out"] = tuple(plain(array) for array in out)
        result = getattr(ufunc, method)(*map(plain, inputs), **keywords)
        if ufunc in (np.maximum, np.minimum) and method == "__call__":
            self.noise.patterns.append(result == plain(inputs[0]))
        if ufunc in DISCONTINUOUS:
            self.noise.patterns.append(result)
        result = self.noise.changed(result, rounds=ufunc not in UNROUNDED | DISCONTINUOUS)
        if out is None:
            return result
        for array, value in zip(out, result if len(out) > 1 else (result,), strict=True):
            array[...] = value
        return out if len(out) > 1 else out[0]

    def __array_function__(self, function, types, arguments, keywords):
        arguments, keywords = strip(arguments), strip(keywords)
        return self.noise.changed(function(*arguments, **keywords), rounds=function in ROUNDED_FUNCTIONS)


def plain(value):
    return value.view(np.ndarray) if isinstance(value, np.ndarray) else value


def strip(value):
    """The same lists, tuples and dicts, with plain arrays in them."""
    if isinstance(value, list | tuple):
        return type(value)(map(strip, value))
    if isinstance(value, dict):
        return {key: strip(part) for key, part in value.items()}
    return plain(value)


class Noise:
    """One noisy run: its `unit` (0 takes note alone) and generator, and the `patterns` that its comparisons gave."""

    def __init__(self, unit, rng):
        self.unit, self.rng, self.patterns = unit, rng, []

    def array(self, array):
        """A Noisy copy of an array."""
        noisy = np.array(array).view(Noisy)
        noisy.noise = self
        return noisy

    def changed(self, result, rounds):
        if isinstance(result, list | tuple):
            return type(result)(self.changed(part, rounds) for part in result)
        if not isinstance(result, np.ndarray | np.generic):
            return result
        result = np.asarray(result)
        if result.dtype.kind in "biu":  # comparisons, and the indices of a maximum
            self.patterns.append(result)
            return result
        if result.dtype.kind not in "fc":
            return result
        if rounds and self.unit:
            result = (result * (1 + 2 * self.unit * self.rng.choice([-1.0, 1.0], result.shape))).astype(result.dtype)
        return self.array(result)


def rounding_uncertainty_of_numpy(evaluate, inputs, dtype, fell_back=lambda error: None):
    """As `rounding_uncertainty` of `torch_noise.py`, for an `evaluate` that computes with NumPy.

    Code that does not run on a subclass of ndarray runs on plain arrays; the inputs alone are then changed, and
    `fell_back(error)` is called with what was raised.
    """
    rng = np.random.default_rng(1)

    def run(inputs, unit, noisy=True):
        noise = Noise(unit, rng)
        arrays = {name: array.astype(dtype) for name, array in inputs.items()}
        values = evaluate({name: noise.array(array) for name, array in arrays.items()} if noisy else arrays)
        return {name: np.array(value, np.float64) for name, value in values.items()}, noise.patterns

    try:
        return over_draws(run, inputs, dtype)
    except Exception as error:
        found = over_draws(lambda inputs, unit: run(inputs, unit, noisy=False), inputs, dtype)
        fell_back(error)
        return found
