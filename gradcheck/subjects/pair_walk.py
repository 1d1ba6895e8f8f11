"""A pair beside its parameters, and at its ties taken together: what is right at one point may be wrong in use.

A factor that is 1 or a term that is 0 at the parameters hides what the gradient leaves out. So every entry is moved, and the
claimed gradient there compared along random directions. At a tie each entry may be right by itself, and all of them together
not: a maximum that gives all of it to both of two equal numbers.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.derivations.differences import Differences, Slope
from gradcheck.derivations.estimate import COMPLEX_STEP, EPS
from gradcheck.faults import describe_error, gradient_or_nan
from gradcheck.rounding.draws import DRAWS, SAFETY
from gradcheck.subjects.pair import Calls
from gradcheck.subjects.pair_oracles import PairOracles

# Each entry is moved by about so much of itself, up or down, and what is 0 by so much of its tensor's size.
MOVED = 0.1
# Directions in each tensor.
DIRECTIONS = 2
# The rounding unit of bfloat16, which no draw of rounding in float64 or float32 shows.
FEW_DIGITS = 2.0**-8

Rounding = Callable[[Arrays], Mapping[str, Array]]


class PairWalk:
    """The pair of `calls`, with the oracles `derive`; `rounding_at(parameters)` is what rounding may change in its gradient.

    `notes` are sentences on what could not be looked at.
    """

    def __init__(self, calls: Calls, derive: PairOracles, rounding_at: Rounding, rng: np.random.Generator) -> None:
        self.calls, self.derive, self.rounding_at, self.rng = calls, derive, rounding_at, rng
        self.notes: list[str] = []

    def beside(self, verified: Sequence[str], tolerance: Mapping[str, float]) -> list[str]:
        """A sentence where the gradient of `verified` tensors is wrong beside the parameters, by more than a `tolerance`."""
        if not verified:
            return []
        there = {k: self.moved(k, a) for k, a in self.calls.parameters.items()}
        base = self.derive.cost.or_nan(there)
        try:
            found = self.calls.claimed(there, self.calls.dtype)
        except Exception as error:  # it may be for these parameters alone
            self.notes.append(f"NOT LOOKED AT BESIDE THE PARAMETERS: there the backward pass raised {describe_error(error)}")
            return []
        claimed = {k: gradient_or_nan(found, k, a.shape) for k, a in there.items()}
        if not np.isfinite(base):
            return []
        if infinite := [k for k in verified if not np.isfinite(claimed[k]).all()]:
            self.notes.append(
                f"NOT LOOKED AT BESIDE THE PARAMETERS: there the gradient of {' and '.join(infinite)} is not finite"
            )
            return []
        wrong = [k for k in verified if self.is_wrong(there, base, k, claimed[k], tolerance.get(k, 0.0))]
        return [sentence_on(wrong)] if wrong else []

    def moved(self, tensor: str, array: Array) -> Array:
        """The array with each entry moved by a random share of itself, so that no two that are equal stay so."""
        shares = MOVED * self.rng.uniform(0.5, 1.5, array.shape) * self.rng.choice([-1.0, 1.0], array.shape)
        found = array + shares * np.where(array == 0, self.derive.cost.size(tensor), array)
        return found.astype(self.calls.dtype).astype(float)

    def is_wrong(self, there: Arrays, base: float, tensor: str, claimed: Array, tolerance: float) -> bool:
        """Whether the gradient of a tensor at `there` is refuted along each of a few random directions."""
        for _ in range(DIRECTIONS):
            # As far in each entry as it is large: their scales may differ.
            own = np.where(there[tensor] == 0, self.derive.cost.size(tensor), there[tensor])
            direction = own * self.rng.choice([-1.0, 1.0], claimed.shape)
            along = float((claimed * direction).sum())
            asked_for = tolerance * float(np.abs(claimed).max() * np.abs(direction).sum())
            if has_few_digits(claimed):
                asked_for += FEW_DIGITS * float(np.abs(claimed * direction).sum())
            derivative, uncertainty = self.derivative(there, base, tensor, direction)
            off = abs(along - derivative) - uncertainty - asked_for
            if not off > SAFETY * EPS * float(np.abs(claimed * direction).sum()):
                return False
            rounding = float(np.sqrt(((self.rounding_at(there)[tensor] * direction) ** 2).sum()))
            slope = self.careful(there, base, {tensor: direction}, size=1.0)
            by_differences = abs(along - slope.derivative) > slope.uncertainty + asked_for + rounding
            if not (by_differences and off > rounding + self.rounding_of_complex_step(there, tensor, direction, derivative)):
                return False
        return True

    def derivative(self, there: Arrays, base: float, tensor: str, direction: Array) -> tuple[float, float]:
        """The derivative at `there` along a direction in one tensor, which is as long as the tensor, and its uncertainty."""
        if not self.derive.takes_complex:
            slope = self.careful(there, base, {tensor: direction}, size=1.0)
            return slope.derivative, slope.uncertainty
        return float(np.imag(self.derive.cost.or_nan(complex_moved(there, tensor, direction)))) / COMPLEX_STEP, 0.0

    def rounding_of_complex_step(self, there: Arrays, tensor: str, direction: Array, derivative: float) -> float:
        """How far rounding inside the cost may move the derivative by the complex step; 0 where that is not asked."""
        if not self.derive.takes_complex:
            return 0.0
        moved = complex_moved(there, tensor, direction)
        draws = [np.imag(self.calls.noisy_cost(moved, self.rng)) / COMPLEX_STEP for _ in range(DRAWS)]
        return SAFETY * float(np.abs(np.subtract(draws, derivative)).max())

    def careful(self, there: Arrays, base: float, directions: Mapping[str, Array], size: float) -> Slope:
        """The slope at `there` along directions in some tensors at once, by a sweep of differences."""
        noise = max(self.derive.cost.noise, EPS * abs(base))

        def J(step: float) -> float:
            return self.derive.cost.or_nan({k: a + step * directions[k] if k in directions else a for k, a in there.items()})

        return Differences(base, noise, self.derive.rounding_inside).careful(J, size)

    def ties_together(self, tied: Mapping[str, Array], claimed: Arrays, rounding: Mapping[str, Array]) -> list[str]:
        """A sentence where entries at ties are wrong when they move together. `tied` says by tensor which way the kink of each
        entry bends: 1 up, as of a ReLU at 0, -1 down, as of a ReLU6 at 6, and 0 where there is none.

        Those that bend alike have to agree with the derivatives from both sides in any direction; of others the sides differ.
        """
        for bend in (1, -1):
            entries = {k: ways == bend for k, ways in tied.items() if (ways == bend).any()}
            count = sum(int(where.sum()) for where in entries.values())
            if count < 2:
                continue
            at_random = {k: where * self.rng.standard_normal(where.shape) for k, where in entries.items()}
            alike = {k: where.astype(float) for k, where in entries.items()}
            for how, directions in (("", alike), (" by random steps", at_random)):
                found = self.off_at_ties(directions, claimed, rounding)
                if found is not None:
                    slope, along = found
                    return [
                        f"TIED ENTRIES: each is right by itself, but where {count:,} of them in {' and '.join(entries)} move "
                        f"together{how} the cost has the slope {slope:.6g}, and the gradient says {along:.6g}: it gives a tie "
                        "more or less than its whole share"
                    ]
        return []

    def off_at_ties(self, directions: Arrays, claimed: Arrays, rounding: Arrays) -> tuple[float, float] | None:
        """The slope of the cost along directions of tied entries and what is claimed, where that is beyond both sides."""
        size = min(self.derive.cost.size(k) / float(np.abs(direction).max()) for k, direction in directions.items())
        slope = self.careful(self.calls.parameters, self.derive.cost.base, directions, size)
        along = sum(float((claimed[k] * direction).sum()) for k, direction in directions.items())
        allowed = np.sqrt(sum(float(((rounding[k] * direction) ** 2).sum()) for k, direction in directions.items()))
        low, high = sorted((slope.left, slope.right)) if np.isfinite(slope.left) else (slope.derivative,) * 2
        slack = allowed + (slope.slack if np.isfinite(slope.slack) else slope.uncertainty)
        if not np.isfinite([along, low, high, slack]).all() or low - slack <= along <= high + slack:
            return None
        return low, along


def complex_moved(there: Arrays, tensor: str, direction: Array) -> dict[str, Array]:
    """Complex arrays, with a complex step along the direction in one tensor."""
    return {k: a + 1j * COMPLEX_STEP * direction if k == tensor else a.astype(complex) for k, a in there.items()}


def has_few_digits(gradient: Array) -> bool:
    """Whether all its numbers are those of float16 or bfloat16."""
    with np.errstate(over="ignore"):
        in_float16 = gradient.astype(np.float16).astype(float)
    in_bfloat16 = (gradient.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32).astype(float)
    return bool((in_float16 == gradient).all() or (in_bfloat16 == gradient).all())


def sentence_on(wrong: Sequence[str]) -> str:
    return (
        f"the gradient of {' and '.join(wrong)} is wrong beside the parameters: where each entry is moved by about a tenth of "
        "itself the cost has another slope, so that something which is 1 or 0 at the parameters hides it"
    )
