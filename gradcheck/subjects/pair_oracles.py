"""The derivations that need nothing but a pair's cost: the complex step and central differences, along directions."""

import time
import warnings
from collections.abc import Iterable

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.differences import LADDER, Differences
from gradcheck.derivations.estimate import COMPLEX_STEP, EPS, Estimate, OneSided, exactly
from gradcheck.errors import UserError
from gradcheck.subject import Advance
from gradcheck.subjects.pair import Calls
from gradcheck.subjects.pair_cost import Cost

# A tensor takes the median of the best steps at this many entries.
TRIED = 3


class PairOracles:
    """Of the cost of `calls`. `rng` draws points and directions; what is not as it should be goes to `notes`.

    The complex step is tried when this is made, and not asked where `takes_complex` is false; `seconds` is what an entry takes.
    `kinked` are the tensors along which a difference crossed a kink.
    """

    def __init__(self, calls: Calls, rng: np.random.Generator, notes: list[str]) -> None:
        self.calls, self.rng, self.parameters = calls, rng, calls.parameters
        self.cost = Cost(calls, rng, notes)
        self.differences = Differences(self.cost.base, self.cost.noise, self.cost.in_steps)
        self.steps: dict[str, float] = {}
        self.kinked: set[str] = set()
        self.seconds = 3 * self.cost.seconds
        try:
            self.seconds += self._try_complex()
            self.takes_complex = True
        except UserError as error:
            notes.append(f"NO COMPLEX STEP: for complex parameters, {error}; central differences stand in for it")
            self.takes_complex = False

    def _try_complex(self) -> float:
        """The seconds that a complex step takes. Raises UserError where it can't be trusted.

        It has to answer, and as central differences do along a direction in each tensor: `abs`, `norm` and `var` take a modulus
        and lose the derivative; a float buffer drops the imaginary part.
        """
        seconds = 0.0
        with warnings.catch_warnings():
            # Both NumPy and PyTorch only warn of it.
            warnings.filterwarnings("error", message="Casting complex values to real discards the imaginary part")
            self.calls.watched_cost({name: array.astype(complex) for name, array in self.parameters.items()})
            for tensor, array in self.parameters.items():
                direction = self.rng.standard_normal(array.shape)
                started = time.perf_counter()
                derivative, real = self._complex_step(tensor, direction)
                seconds = time.perf_counter() - started
                if not abs(real - self.cost.base) <= 100 * self.cost.noise:
                    raise UserError(f"cost returns {real:.6g} instead of {self.cost.base:.6g}")
                if not self._confirmed(tensor, direction, derivative):
                    raise UserError(f"cost loses the derivative by {tensor}, as abs, norm, var and float arrays do")
        return seconds

    def _complex_step(self, tensor: str, direction: Array) -> tuple[float, float]:
        """The derivative along `direction` in one tensor by the complex step, and the real part of the cost."""
        cost = self.calls.cost(self.cost.moved(tensor, direction, 1j * COMPLEX_STEP))
        if not isinstance(cost, complex):
            raise UserError("cost returns a real number")
        return cost.imag / COMPLEX_STEP, cost.real

    def _confirmed(self, tensor: str, direction: Array, derivative: float) -> bool:
        """Whether the most certain central difference along the direction agrees with `derivative`."""
        found = self.differences.best(self.cost.along(tensor, direction), LADDER * self.cost.size(tensor))
        return abs(found.derivative - derivative) <= 10 * found.uncertainty + 1e-8 * abs(derivative)

    def unit(self, tensor: str, entry: int) -> Array:
        """The direction of one entry."""
        direction = np.zeros(self.parameters[tensor].shape)
        direction.flat[entry] = 1.0
        return direction

    def complex_steps(self, tensor: str, directions: Iterable[Array], advance: Advance) -> Estimate:
        """The derivatives along directions in a tensor by the complex step."""
        found = []
        for direction in directions:
            found.append(self._complex_step(tensor, direction)[0])
            advance(1)
        return exactly(np.array([found]))  # (1, directions)

    def noisy_complex_steps(self, tensor: str, entry: int, draws: int) -> Array:
        """The derivative by one entry with each result inside the cost rounded up or down at random, (draws,)."""
        moved = self.cost.moved(tensor, self.unit(tensor, entry), 1j * COMPLEX_STEP)
        return np.array([np.imag(self.calls.noisy_cost(moved, self.rng)) / COMPLEX_STEP for _ in range(draws)])

    def central_differences(self, tensor: str, directions: Iterable[Array], advance: Advance) -> Estimate:
        """Central differences along directions, with the tensor's step, or a smaller one where that is too rough."""
        rows = []
        for direction in directions:
            found = self.differences.slope(self.cost.along(tensor, direction), self.step(tensor, direction))
            beside = self.takes_complex and np.isfinite(found.left)
            if beside and not self._tied(tensor, direction, found.left, found.right):
                found = found.without_tie()
            rows.append(found)
            advance(1)
        derivative, uncertainty, crossed, left, right, slack = np.array(rows).T[:, None, :]  # each (1, directions)
        if crossed.any():
            self.kinked.add(tensor)
        tie = OneSided(left, right, slack) if np.isfinite(left).any() else None
        return Estimate(derivative, uncertainty, crossed[0] > 0, tie)

    def _tied(self, tensor: str, direction: Array, left: float, right: float) -> bool:
        """Whether the complex step jumps as the one-sided derivatives do, within a few units in the last place.

        Differences can't distinguish a kink at the parameters from one that is nearer than their steps.
        """
        units = 4 * EPS * (np.abs(self.parameters[tensor]).max() or 1.0) / np.abs(direction).max()
        beside = (self.cost.moved(tensor, direction, sign * units + 1j * COMPLEX_STEP) for sign in (-1, 1))
        before, after = (np.imag(self.calls.cost(arrays)) / COMPLEX_STEP for arrays in beside)
        return bool(abs(after - before) > abs(right - left) / 2)

    def step(self, tensor: str, direction: Array) -> float:
        """The step of the smallest error at a few random entries of the tensor."""
        if tensor not in self.steps:
            tried = self.rng.integers(self.parameters[tensor].size, size=TRIED)
            costs = [self.cost.along(tensor, self.unit(tensor, entry)) for entry in tried]
            steps = LADDER * self.cost.size(tensor)
            self.steps[tensor] = float(np.median([self.differences.best(cost, steps).step for cost in costs]))
        return self.steps[tensor] / np.abs(direction).max()
