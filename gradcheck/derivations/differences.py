"""Central differences of a cost that is a black box, along one direction: with their own error, over kinks and at ties.

J is a function of the step; where it cannot be computed it is not a number.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import EPS, ONE_SIDED_NOISE, SIGMAS

# Steps to try, as multiples of a tensor's size. The factor is odd because parameters and kinks tend to be round numbers: a
# kink at half a step leaves no third difference, nor does a sine whose period divides it.
LADDER = 10**-0.1234 * np.logspace(-1, -8, 15)
# A difference whose truncation error is over ROUGH times its rounding error is tried with RETRIES smaller steps, each SHRINK
# times smaller than the last.
ROUGH, SHRINK, RETRIES = 10, 8, 12
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


class Differences:
    """The differences of a cost that is `base` at step 0.

    `noise` is the rounding error of the cost; `in_steps` says that this is large, as of float32.
    """

    def __init__(self, base: float, noise: float, in_steps: bool = False) -> None:
        self.base, self.noise, self.in_steps = base, noise, in_steps

    def rounding(self, *costs: float) -> float:
        """The rounding error of one of these costs: where the cost at step 0 is 0 by chance, that of the others is larger."""
        return SIGMAS * max(self.noise, EPS * np.max(np.abs(costs)))

    def at(self, J: Cost, step: float) -> Difference:
        """The central difference; its error comes from a third point of the stencil, see `chain_differences.py`."""
        before, after, further = (J(k * step) for k in (-1, 1, 2))
        truncation = abs(further - 3 * after + 3 * self.base - before) / 3
        floor = self.rounding(before, after, further) / np.sqrt(2)  # of half a difference of two costs
        return Difference((truncation + floor) / step, (after - before) / (2 * step), step, truncation, floor)

    def best(self, J: Cost, steps: Array) -> Difference:
        """At the first of `steps`, which fall, where rounding takes over from truncation: from there on it alone grows.

        A larger step can seem more certain, where the cost oscillates within it; so the next has to agree.
        """
        found = self.at(J, steps[0])
        for step in steps[1:]:
            last, found = found, self.at(J, step)
            agree = abs(found.derivative - last.derivative) <= found.uncertainty + last.uncertainty
            if last.truncation <= last.floor and agree:
                return last
        return found

    def slope(self, J: Cost, step: float) -> Slope:
        """The derivative by central differences with `step`, or with smaller ones where that is too rough.

        Where a kink stays inside all of them it lies at 0, and the uncertainty is infinite.
        """
        first = self.at(J, step)
        if self.in_steps:
            return Slope(first.derivative, max(first.uncertainty, SIGMAS * self.spread(J, step)), False)
        if first.truncation <= ROUGH * first.floor:
            return Slope(first.derivative, first.uncertainty, False)
        # Of a smooth cost the third difference falls with the cube of the step; over a kink, with the step.
        smaller = self.at(J, step / SHRINK)
        crossed = smaller.truncation > max(first.truncation / SHRINK**2, smaller.floor)
        best = self.best(J, step / float(SHRINK) ** np.arange(1, RETRIES + 1))
        # At a kink all steps are equally uncertain, until rounding covers it.
        if best.truncation <= ROUGH * best.floor and (not crossed or best.uncertainty < first.uncertainty / ROUGH):
            return Slope(best.derivative, best.uncertainty, crossed)
        (left_error, left), (right_error, right) = (self.one_sided(J, sign * step) for sign in (-1, 1))
        slack = max(left_error, right_error)
        found = Slope(best.derivative, np.inf, True, left, right, slack)
        tied = slack <= min(CERTAIN * max(abs(left), abs(right)), abs(right - left))
        return found if tied else found.without_tie()

    def spread(self, J: Cost, step: float) -> float:
        """How far the derivatives at this step, its half and its quarter lie from each other, for the kinks inside them."""
        return np.ptp([self.at(J, step / share).derivative for share in (1, 2, 4)])

    def one_sided(self, J: Cost, step: float) -> tuple[float, float]:
        """To third order, (-11 J(0) + 18 J(h) - 9 J(2h) + 2 J(3h)) / 6h: its error, and the derivative."""
        best = np.inf, np.nan
        for h in step / float(SHRINK) ** np.arange(RETRIES):
            costs = [self.base, *(J(k * h) for k in (1, 2, 3))]
            truncation = abs(np.dot([-1, 3, -3, 1], costs)) / 3
            rounding = self.rounding(*costs)
            error = (truncation + ONE_SIDED_NOISE * rounding) / abs(h)
            best = min(best, (error, np.dot([-11, 18, -9, 2], costs) / (6 * h)))
            if truncation <= rounding / np.sqrt(2):
                break
        return best
