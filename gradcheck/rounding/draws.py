"""How far two correct gradients may differ: the uncertainty that floating-point rounding alone leaves in each entry.

It is measured by stochastic arithmetic (Vignes 2004). Cost and gradients are computed again with the parameters, the
input and every intermediate result, forward and backward, changed by one rounding unit, up or down at random. The largest
change of an entry over DRAWS such runs and its last digit, times SAFETY, is the error that is rounding and no bug. Changing the
intermediate results too is what shows the cancellations inside a backward pass: P - Y where the network is sure, and the
bias before a batch norm, whose gradient is a sum that cancels to exactly 0.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.threads import one_thread

# Half a unit in the last place of 1: what rounding to nearest may change.
UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
# Were the noise Gaussian, an entry's largest change of 16 falls below a tenth of its standard deviation once in 1e17 entries.
DRAWS, ATTEMPTS = 16, 256
SAFETY = 32

# A NumPy array or a PyTorch tensor of choices that a run made: signs of ReLUs, results of comparisons, indices.
Pattern = Any


def uncertainty_over_draws(
    run: Callable[[dict[str, Array], float], tuple[Arrays, Sequence[Pattern]]], inputs: Arrays, dtype: str
) -> dict[str, Array]:
    """The uncertainty of what `run(inputs, unit) -> values, patterns` computes, by name, from DRAWS runs.

    `inputs` are float64 arrays by name; each run gets them changed by one unit of `dtype`, "float64" or "float32". A run that
    switches a ReLU has another gradient, not a rounded one, and is drawn again. Infinity where nothing is known.
    """
    rng, unit = np.random.default_rng(0), UNIT[dtype]
    # Many small operations: threads would only wait for each other.
    with one_thread():
        exact, patterns = run(dict(inputs), 0)
        largest, draws = {name: np.zeros(np.shape(value)) for name, value in exact.items()}, 0
        for _ in range(ATTEMPTS):
            changed = {name: array * (1 + 2 * unit * rng.choice([-1.0, 1.0], array.shape)) for name, array in inputs.items()}
            values, switched = run(changed, unit)
            if not equal_patterns(switched, patterns):
                continue
            for name, value in values.items():
                largest[name] = np.maximum(largest[name], np.abs(value - exact[name]))
            draws += 1
            if draws == DRAWS:
                break
    return {name: uncertainty_of_change(largest[name] if draws else np.inf, exact[name], unit) for name in exact}


def equal_patterns(first: Sequence[Pattern], second: Sequence[Pattern]) -> bool:
    """Whether two runs made the same choices."""
    if len(first) != len(second):
        return False
    return all(a.shape == b.shape and bool((a == b).all()) for a, b in zip(first, second, strict=True))


def uncertainty_of_change(change: Array | float, value: Array, unit: float) -> Array:
    """SAFETY times the largest change and the last digit of the value; infinity where either is not finite."""
    with np.errstate(invalid="ignore"):
        uncertainty = SAFETY * (change + unit * np.abs(value))
    return np.where(np.isfinite(uncertainty), uncertainty, np.inf)
