"""How far two correct gradients may differ: the uncertainty that floating-point rounding alone leaves in each entry.

It is measured by stochastic arithmetic (Vignes 2004). Cost and gradients are computed again with the parameters, the
input and every intermediate result, forward and backward, changed by one rounding unit, up or down at random. The largest
change of an entry over DRAWS such runs and its last digit, times SAFETY, is the error that is rounding and no bug. Changing the
intermediate results too is what shows the cancellations inside a backward pass: P - Y where the network is sure, and the
bias before a batch norm, whose gradient is a sum that cancels to exactly 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.threads import one_thread

# Half a unit in the last place of 1: what rounding to nearest may change.
UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
# Were the noise Gaussian, an entry's largest change of 16 falls below a tenth of its standard deviation once in 1e17 entries.
DRAWS, ATTEMPTS = 16, 256
SAFETY = 32

# A NumPy array or a PyTorch tensor: results of comparisons, indices, signs.
Choice = Any


class Choices:
    """What a run chose at each of its branches, in order: truth values, indices, and the results of functions that jump.

    A run beside the parameters would choose differently at a tie, and compute the gradient of another piece, which is no
    rounding. So it is `held` to the choices of the run at the parameters, where it comes by the same branches.
    """

    def __init__(self, held: "Choices | None" = None) -> None:
        self.made: list[Choice] = []
        self.held = None if held is None else held.made
        self.departed = False

    def __call__(self, own: Choice) -> Choice:
        """What is chosen at the next branch, where the run by itself would choose `own`."""
        chosen, place = own, len(self.made)
        if self.held is not None:
            same_branch = place < len(self.held) and self.held[place].shape == own.shape and self.held[place].dtype == own.dtype
            chosen = self.held[place] if same_branch else own
            self.departed = self.departed or not same_branch
        self.made.append(chosen)
        return chosen

    def were_held(self) -> bool:
        """Whether the run came by all branches of the run that it was held to, and by no other."""
        return not self.departed and (self.held is None or len(self.held) == len(self.made))


def uncertainty_over_draws(
    run: Callable[[dict[str, Array], float, Choices], Arrays], inputs: Arrays, dtype: str
) -> dict[str, Array]:
    """The uncertainty of what `run(inputs, unit, choices) -> values` computes, by name, from DRAWS runs.

    `inputs` are float64 arrays by name; each run gets them changed by one unit of `dtype`, "float64" or "float32", and is held
    to the choices of the run at the inputs themselves. One that comes by other branches all the same, as where Python code
    branches on a number, is drawn again. Infinity where nothing is known.
    """
    rng, unit = np.random.default_rng(0), UNIT[dtype]
    # Many small operations: threads would only wait for each other.
    with one_thread():
        at_inputs = Choices()
        exact = run(dict(inputs), 0, at_inputs)
        largest, draws = {name: np.zeros(np.shape(value)) for name, value in exact.items()}, 0
        for _ in range(ATTEMPTS):
            changed = {name: array * (1 + 2 * unit * rng.choice([-1.0, 1.0], array.shape)) for name, array in inputs.items()}
            choices = Choices(at_inputs)
            values = run(changed, unit, choices)
            if not choices.were_held():
                continue
            for name, value in values.items():
                largest[name] = np.maximum(largest[name], np.abs(value - exact[name]))
            draws += 1
            if draws == DRAWS:
                break
    # What underflows loses up to the smallest normal number.
    smallest = float(np.finfo(dtype).tiny)
    return {name: uncertainty_of_change(largest[name] + smallest if draws else np.inf, exact[name], unit) for name in exact}


def uncertainty_of_change(change: Array | float, value: Array, unit: float) -> Array:
    """SAFETY times the largest change and the last digit of the value; infinity where either is not finite."""
    with np.errstate(invalid="ignore"):
        uncertainty = SAFETY * (change + unit * np.abs(value))
    return np.where(np.isfinite(uncertainty), uncertainty, np.inf)
