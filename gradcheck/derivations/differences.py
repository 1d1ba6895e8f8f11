"""Central differences of a cost that is a black box, along one direction: with their own error, over kinks and at ties.

J is a function of the step; where it cannot be computed it is not a number.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gradcheck.derivations.estimate import EPS, SIGMAS

# The largest step of a sweep, as a multiple of the size of what is moved, and how many times it is halved at most. The number
# is odd because parameters and kinks tend to be round: a kink at half a step leaves no third difference, nor does a sine whose
# period divides it.
LARGEST, HALVINGS = 10**-0.1234, 42
# How often the place is halved where a cost that stood still begins to move.
BISECTIONS = 40
# How far the last few limits lie apart stands for the error of the last, times MISTRUST: where there are many kinks inside
# every step that rounding allows, some of them agree by chance.
WITNESSES, MISTRUST = 4, 8
# A leap of the cost is rounding if it is at most so many times what rounding inside changes.
LEAP = 16
# Extrapolations go so far: further ones gain nothing but rounding.
ORDER = 5
# A difference whose truncation error is over ROUGH times its rounding error is looked at again: with a step that is SMALLER,
# for a kink, and by a sweep.
ROUGH, SMALLER = 10, 8
# A cost whose rounding error is a larger share of it, as in float32, is looked at with steps that are LARGER.
COARSE, LARGER = 1e-10, 8
# Of a smooth cost the derivative from both sides is known so many times better than from one. Where the slope is infinite, as
# that of a square root at 0, both sides may cancel, and nothing is known of either.
ONE_SIDED = 1e-3
# One-sided derivatives that are less certain than this, relatively, are not used.
CERTAIN = 1e-2

Cost = Callable[[float], float]


class Difference(NamedTuple):
    """A central difference at `step`: its uncertainty is `truncation` and `floor`, the rounding error, over the step."""

    uncertainty: float
    derivative: float
    step: float
    truncation: float
    floor: float


class Slope(NamedTuple):
    """A derivative over kinks and at ties: `crossed` says whether a kink lies within the step first used.

    `left`, `right` and their uncertainty `slack` are the one-sided derivatives where a kink lies at step 0, and not numbers
    where none does.
    """

    derivative: float
    uncertainty: float
    crossed: bool
    left: float = np.nan
    right: float = np.nan
    slack: float = np.nan

    def without_tie(self) -> "Slope":
        """The same where the kink turns out to lie beside step 0."""
        return self._replace(left=np.nan, right=np.nan, slack=np.nan)


class Extrapolated(NamedTuple):
    """What quotients at halved steps tend to, and how far that may be off."""

    limit: float
    uncertainty: float


NOTHING = Extrapolated(np.nan, np.inf)


class Sweep(NamedTuple):
    """The derivative from both sides, from the left and from the right; and the step at which the plain central difference is
    best, where truncation and rounding meet."""

    central: Extrapolated
    left: Extrapolated
    right: Extrapolated
    step: float


class Differences:
    """The differences of a cost that is `base` at step 0 and whose rounding error is `noise`.

    `rounding_inside()` is by how much the cost changes where all that is computed inside is rounded at random; it is asked
    where the cost leaps.
    """

    def __init__(self, base: float, noise: float, rounding_inside: Callable[[], float]) -> None:
        self.base, self.noise, self.rounding_inside = base, noise, rounding_inside

    def rounding(self, *costs: float) -> float:
        """The rounding error of one of these costs: where the cost at step 0 is 0 by chance, that of the others is larger."""
        return SIGMAS * max(self.noise, EPS * np.max(np.abs(costs)))

    def is_coarse(self) -> bool:
        return self.noise > COARSE * abs(self.base)

    def at(self, J: Cost, step: float) -> Difference:
        """The central difference; its error comes from a third point of the stencil, see `chain_differences.py`."""
        before, after, further = (J(k * step) for k in (-1, 1, 2))
        truncation = abs(further - 3 * after + 3 * self.base - before) / 3
        floor = self.rounding(before, after, further) / np.sqrt(2)  # of half a difference of two costs
        return Difference((truncation + floor) / step, (after - before) / (2 * step), step, truncation, floor)

    def sweep(self, J: Cost, size: float) -> Sweep:
        """Differences at steps from about `size` down, each half of the last, and what they tend to.

        With powers of h^2 of the error taken out for central differences, and of h for one-sided ones (Richardson 1911; Ridders
        1982). It ends where rounding is larger than what is uncertain already. Where the cost stands still within small steps
        and leaps between larger ones, the leap is the rounding error, unless nothing inside rounds by as much.
        """
        with np.errstate(invalid="ignore", over="ignore"):  # the cost may be infinite at a large step
            return self._sweep(J, size)

    def _sweep(self, J: Cost, size: float) -> Sweep:
        central, left, right = Extrapolation(4), Extrapolation(2), Extrapolation(2)
        closest, last, moving, standing = (np.inf, np.nan), np.nan, np.nan, np.nan
        for step in LARGEST * size * 0.5 ** np.arange(HALVINGS):
            before, after = J(-step), J(step)
            if before == after == self.base:
                standing = step
                if np.isfinite(moving):
                    break
            else:
                moving = step
            derivative, rounding = (after - before) / (2 * step), self.rounding(before, after, self.base) / step
            central.add(derivative, rounding)
            left.add((self.base - before) / step, 2 * rounding)
            right.add((after - self.base) / step, 2 * rounding)
            # Two differences of neighbouring steps differ by three times the truncation of the finer one.
            closest = min(closest, (abs(derivative - last) / 3 + rounding, step)) if np.isfinite(last) else closest
            last = derivative
            if rounding > max(each.best.uncertainty for each in (central, left, right)):
                break
        if np.isfinite(moving + standing):
            leap = leap_of(lambda step: max(abs(J(-step) - self.base), abs(J(step) - self.base)), standing, moving)
            if self.rounding(self.base) < leap <= LEAP * self.rounding_inside():
                return Differences(self.base, leap / 4, self.rounding_inside).sweep(J, size)
            still = Extrapolated(0.0, self.rounding(self.base) / standing)
            return Sweep(still, still, still, standing)
        return Sweep(central.best, left.best, right.best, closest[1])

    def slope(self, J: Cost, step: float, size: float) -> Slope:
        """The derivative by the central difference at `step`, or by a sweep over steps from `size` down where it is too rough.

        Where a kink lies at 0 the uncertainty is infinite, and the slope has its one-sided derivatives.
        """
        if self.is_coarse():
            return self.careful(J, size)  # kinks may hide within steps as large as this rounding needs
        first = self.at(J, step)
        if first.truncation <= ROUGH * first.floor:
            return Slope(first.derivative, first.uncertainty, False)
        # Of a smooth cost the third difference falls with the cube of the step; over a kink, with the step.
        smaller = self.at(J, step / SMALLER)
        crossed = smaller.truncation > max(first.truncation / SMALLER**2, ROUGH * smaller.floor)
        found = self.careful(J, size)
        return found._replace(crossed=found.crossed or crossed)

    def careful(self, J: Cost, size: float) -> Slope:
        """The derivative by a sweep, which needs more calls of the cost and knows more digits."""
        (derivative, uncertainty), left, right, _ = self.sweep(J, LARGER * size if self.is_coarse() else size)
        slack, apart = left.uncertainty + right.uncertainty, abs(right.limit - left.limit)
        if apart <= slack:
            if slack + apart < uncertainty:  # as at a kink of the second derivative
                derivative, uncertainty = (left.limit + right.limit) / 2, slack + apart
            return Slope(derivative, max(uncertainty, ONE_SIDED * slack), False)
        found = Slope(derivative, np.inf, True, left.limit, right.limit, slack)
        return found if slack <= CERTAIN * max(abs(left.limit), abs(right.limit)) else found.without_tie()


class Extrapolation:
    """Quotients at steps that are halved, extrapolated to step 0: each column of the tableau takes out one power of the step.

    `ratio` is by how much the first of them falls from a step to the next: 4 for h^2, 2 for h; and each further one. `best` is
    what is known so far.
    """

    def __init__(self, ratio: int) -> None:
        self.ratio, self.best = ratio, NOTHING
        self.row: list[tuple[float, float]] = []
        self.limits: list[float] = []

    def add(self, quotient: float, rounding: float) -> None:
        """Takes the quotient at the next step, which is off by `rounding` and by truncation."""
        above, self.row = self.row, [(quotient, rounding)]
        self._extrapolate(above)
        # The column that changes least from the one before it; what seems certain may be chance, and has to be so a few times.
        changes = [abs(after - before) for (before, _), (after, _) in pairwise(self.row)]
        limit, rounding = self.row[int(np.argmin(changes)) + 1] if changes and np.isfinite(changes).all() else self.row[0]
        self.limits.append(limit)
        if len(self.limits) < WITNESSES:
            return
        found = Extrapolated(limit, MISTRUST * float(np.ptp(self.limits[-WITNESSES:])) + rounding)
        contradicts = abs(limit - self.best.limit) > self.best.uncertainty + rounding
        if found.uncertainty < self.best.uncertainty or contradicts:
            self.best = found

    def _extrapolate(self, above: list[tuple[float, float]]) -> None:
        """Fills the row from the one above: each column with the value and what rounding may change in it."""
        for column, (coarser, its_rounding) in enumerate(above[:ORDER], start=1):
            (finer, rounding), weight = self.row[-1], self.ratio**column
            value, off = (weight * finer - coarser) / (weight - 1), (weight * rounding + its_rounding) / (weight - 1)
            self.row.append((value, off))


def leap_of(change: Callable[[float], float], standing: float, moving: float) -> float:
    """By how much a cost changes at once between a step within which it stands still and one at which it has moved.

    `change(step)` is by how much it has changed at a step. The leap is nothing but rounding where the change is gradual, as
    behind the kink of a ReLU.
    """
    for _ in range(BISECTIONS):
        middle = (standing + moving) / 2
        standing, moving = (standing, middle) if change(middle) else (middle, moving)
    return change(moving)
