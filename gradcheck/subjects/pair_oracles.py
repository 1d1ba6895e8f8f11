"""The derivations that need nothing but a pair's cost: the complex step and central differences, along directions."""

import warnings
from collections.abc import Iterable, Mapping
from functools import cache, partial

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.differences import CERTAIN, Differences, Slope
from gradcheck.derivations.estimate import CENTRAL_STEP, COMPLEX_STEP, EPS, Estimate, OneSided
from gradcheck.errors import UserError
from gradcheck.subject import Advance
from gradcheck.subjects.pair import Calls
from gradcheck.subjects.pair_cost import Cost

# A tensor takes the median of the best steps at this many entries, at most.
TRIED = 3

# Of so many tensors each has a step of its own; further ones begin with the median of theirs, as a share of the tensor's size.
OWN_STEPS = 16


# Evaluations of the cost with rounding at random that tell how it rounds inside.
ROUNDED = 4

SMALLEST = float(np.finfo(np.float64).tiny)
# A step that shows whether the cost depends on an entry, as a share of the tensor's size.
SMALL = 1e-4
# An entry that is smaller than this share of its tensor is 0 by rounding, and no scale.
NO_SCALE = 1e-30
# A cost that rounds so many times worse than its last digit may do so for some entries alone.
UNEVEN = 100
# Where the scales of a tensor's entries differ by more, each has a sweep from its own.
FAR_SMALLER = 1e-5


class PairOracles:
    """Of the cost of `calls`. `rng` draws points and directions; what is not as it should be goes to `notes`.

    The complex step is tried when this is made, and not asked where `takes_complex` is false.
    `kinked` are the tensors along which a difference crossed a kink; `still` says that nothing moves the cost at all.
    """

    def __init__(self, calls: Calls, rng: np.random.Generator, notes: list[str]) -> None:
        self.calls, self.rng, self.parameters = calls, rng, calls.parameters
        self.cost = Cost(calls, rng, notes)
        self.rounding_inside = cache(self._measure_rounding_inside)  # asked where the cost leaps, which few do
        self.differences = Differences(self.cost.base, self.cost.noise, self.rounding_inside)
        self.steps: dict[str, float] = {}
        self.kinked: set[str] = set()
        self.takes_complex = False
        self.still = self.cost.still
        try:
            self._try_complex()
            self.takes_complex = True
        except UserError as error:
            notes.append(f"NO COMPLEX STEP: for complex parameters, {error}; central differences stand in for it")

    def _measure_rounding_inside(self) -> float:
        """By how much the cost changes where what is computed inside is rounded at random; infinity if it can't say."""
        try:
            found = [self.calls.noisy_cost(dict(self.parameters), self.rng) for _ in range(ROUNDED)]
        except UserError:
            return np.inf
        changes = np.abs(np.subtract(found, self.cost.base))
        return float(changes.max()) if np.isfinite(changes).all() else np.inf

    def _try_complex(self) -> None:
        """Raises UserError where the complex step can't be trusted.

        It has to answer, and as central differences do along a direction in each tensor: a float buffer drops the imaginary
        part, and so does code that takes the real part.
        """
        with warnings.catch_warnings():
            # Both NumPy and PyTorch only warn of it.
            warnings.filterwarnings("error", message="Casting complex values to real discards the imaginary part")
            self.calls.cost({name: array.astype(complex) for name, array in self.parameters.items()})
            for tensor, array in self.parameters.items():
                direction = self.rng.standard_normal(array.shape)
                derivative, real = self._complex_step(tensor, direction)
                self.still = self.still and derivative == 0  # it may move by less than a digit of the cost
                if not abs(real - self.cost.base) <= 100 * self.cost.noise:
                    raise UserError(f"cost returns {real:.6g} instead of {self.cost.base:.6g}")
                if not self._confirmed(tensor, direction, derivative):
                    raise UserError(f"cost loses the derivative by {tensor}, as a float array does")

    def _complex_step(self, tensor: str, direction: Array, factor: float = 1.0) -> tuple[float, float]:
        """The derivative along `direction` in one tensor by the complex step, `factor` times as large, and the real cost."""
        h = factor * COMPLEX_STEP * self.scale(tensor, direction)
        cost = self.calls.cost(self.cost.moved(tensor, direction, 1j * h))
        if not isinstance(cost, complex):
            raise UserError("cost returns a real number")
        return cost.imag / h, cost.real

    def scale(self, tensor: str, direction: Array) -> float:
        """The size of what a direction moves, over the size of the direction: what steps are multiples of."""
        size, moved = self.cost.size(tensor), np.abs(self.parameters[tensor][direction != 0])
        own = float(moved.min(initial=np.inf, where=moved > NO_SCALE * size))
        return (own if np.isfinite(own) else size) / float(np.abs(direction).max())

    def _confirmed(self, tensor: str, direction: Array, derivative: float) -> bool:
        """Whether central differences do not tell something else than the complex step: `derivative` along the direction, and
        what it says at one of a few entries.

        This is about derivatives that get lost altogether; a second look is taken at each entry that is in doubt.
        """
        if self.cost.in_steps or self._agrees(tensor, direction, derivative):
            return True
        # Along a direction the cost may round worse than by most entries.
        tried = map(partial(self.unit, tensor), self.rng.integers(direction.size, size=TRIED))
        return any(self._agrees(tensor, unit, self._complex_step(tensor, unit)[0]) for unit in tried)

    def _agrees(self, tensor: str, direction: Array, derivative: float) -> bool:
        step = CENTRAL_STEP * self.cost.size(tensor) / float(np.abs(direction).max())
        plain = self.differences.at(self.cost.along(tensor, direction), step)
        if plain.uncertainty + abs(plain.derivative - derivative) <= CERTAIN * abs(derivative):
            return True
        found = self.carefully(tensor, direction)
        off = abs(found.derivative - derivative)
        return not off > 10 * found.uncertainty + CERTAIN * max(abs(derivative), abs(found.derivative))

    def unit(self, tensor: str, entry: int) -> Array:
        """The direction of one entry."""
        direction = np.zeros(self.parameters[tensor].shape)
        direction.flat[entry] = 1.0
        return direction

    def complex_steps(self, tensor: str, directions: Iterable[Array], advance: Advance, factor: float = 1.0) -> Estimate:
        """The derivatives along directions in a tensor by the complex step, `factor` times as large as usual."""
        found, lost = [], []
        for direction in directions:
            found.append(self._complex_step(tensor, direction, factor)[0])
            lost.append(SMALLEST / (factor * COMPLEX_STEP * self.scale(tensor, direction)))  # below that, it is 0
            advance(1)
        return Estimate(np.array([found]), np.array([lost]), np.zeros(len(found), bool))  # (1, directions)

    def noisy_complex_steps(self, tensor: str, direction: Array, draws: int) -> Array:
        """The derivative along a direction with each result inside the cost rounded up or down at random, (draws,)."""
        h = COMPLEX_STEP * self.scale(tensor, direction)
        moved = self.cost.moved(tensor, direction, 1j * h)
        return np.array([np.imag(self.calls.noisy_cost(moved, self.rng)) / h for _ in range(draws)])

    def central_differences(self, tensor: str, directions: Iterable[Array], advance: Advance) -> Estimate:
        """Central differences along directions, with the tensor's step, or a sweep of them where that is too rough."""
        slopes = []
        for direction in directions:
            cost, size = self.cost.along(tensor, direction), self.size_of_steps(tensor, direction)
            if size < self.cost.size(tensor) / float(np.abs(direction).max()):  # the tensor's step is not for it
                slope = self.differences.careful(cost, size)
            else:
                slope = self.differences.slope(cost, self.step(tensor, direction), size)
            slopes.append(self._checked_tie(tensor, direction, slope))
            advance(1)
        return self.estimate_of(tensor, slopes)

    def estimate_of(self, tensor: str, slopes: Iterable[Slope]) -> Estimate:
        """The Estimate of the slopes along some directions in a tensor."""
        derivative, uncertainty, crossed, left, right, slack = (
            np.array(list(slopes)).reshape(-1, 6).T[:, None, :]
        )  # each (1, directions)
        if crossed.any():
            self.kinked.add(tensor)
        tie = OneSided(left, right, slack) if np.isfinite(left).any() else None
        return Estimate(derivative, uncertainty, crossed[0] > 0, tie)

    def carefully(self, tensor: str, direction: Array) -> Slope:
        """The slope along a direction by a sweep of differences, with more calls of the cost and more digits."""
        differences = self.differences
        if not self.cost.in_steps and self.cost.noise > UNEVEN * EPS * abs(self.cost.base):
            noise = min(self.cost.noise, self.cost.noise_along(tensor, direction))
            differences = Differences(self.cost.base, noise, self.rounding_inside)
        slope = differences.careful(self.cost.along(tensor, direction), self.size_of_steps(tensor, direction))
        return self._checked_tie(tensor, direction, slope)

    def size_of_steps(self, tensor: str, direction: Array) -> float:
        """What steps along a direction begin at: the tensor's size, or where all that moves is far smaller, its own.

        Steps that are far larger than an entry may agree on what the cost is like from afar.
        """
        size, own = self.cost.size(tensor) / float(np.abs(direction).max()), self.scale(tensor, direction)
        return own if own < FAR_SMALLER * size else size

    def moves(self, entries: Mapping[str, Array]) -> bool:
        """Whether a small step in any of these flat `entries`, by tensor, changes the cost at all."""
        for tensor, flat in entries.items():
            for entry in flat:
                cost, step = self.cost.along(tensor, self.unit(tensor, entry)), SMALL * self.cost.size(tensor)
                if any(cost(h) != self.cost.base for h in (-step, step)):
                    return True
        return False

    def _checked_tie(self, tensor: str, direction: Array, slope: Slope) -> Slope:
        """The slope, without a tie where the complex step shows that the kink lies beside the parameters."""
        beside = self.takes_complex and np.isfinite(slope.left)
        if beside and not self._tied(tensor, direction, slope.left, slope.right):
            return slope.without_tie()
        return slope

    def _tied(self, tensor: str, direction: Array, left: float, right: float) -> bool:
        """Whether the complex step jumps as the one-sided derivatives do, within a few units in the last place.

        Differences can't distinguish a kink at the parameters from one that is nearer than their steps.
        """
        units = 4 * EPS * (np.abs(self.parameters[tensor]).max() or 1.0) / np.abs(direction).max()
        h = COMPLEX_STEP * self.scale(tensor, direction)
        beside = (self.cost.moved(tensor, direction, sign * units + 1j * h) for sign in (-1, 1))
        before, after = (np.imag(self.calls.cost(arrays)) / h for arrays in beside)
        return bool(abs(after - before) > abs(right - left) / 2)

    def step(self, tensor: str, direction: Array) -> float:
        """The step of the smallest error at a few random entries of the tensor, or of those before it where these are many.

        It is where a difference begins; one that is too rough is repeated by a sweep.
        """
        if tensor not in self.steps and len(self.steps) >= OWN_STEPS:
            shares = [step / self.cost.size(name) for name, step in [*self.steps.items()][:OWN_STEPS]]
            self.steps[tensor] = float(np.median(shares)) * self.cost.size(tensor)
        if tensor not in self.steps:
            size = self.parameters[tensor].size
            tried = self.rng.integers(size, size=min(TRIED, size))
            costs = [self.cost.along(tensor, self.unit(tensor, entry)) for entry in tried]
            best = [self.differences.sweep(cost, self.cost.size(tensor)).step for cost in costs]
            self.steps[tensor] = float(np.median(best))
        return self.steps[tensor] / float(np.abs(direction).max())
