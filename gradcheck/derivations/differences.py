"""Central differences of a cost of which nothing is known, along one direction: with their own error, over kinks and at ties.

J is a function of the step; where it can't be had it is not a number.
"""

from typing import NamedTuple

import numpy as np

from gradcheck.derivations.estimate import EPS, SIGMAS

# Steps to try, as multiples of a tensor's size. An odd factor, for parameters and kinks tend to be round numbers: a kink at
# half a step leaves no third difference, nor does a sine whose period divides it.
LADDER = 10**-0.1234 * np.logspace(-1, -8, 15)
# A difference whose truncation error is over this many times its rounding error is tried with smaller steps, this many.
ROUGH, SHRINK, RETRIES = 10, 8, 12
# Derivatives from the left and the right that are less certain than this, relatively, say nothing.
CERTAIN = 1e-2
NO_TIE = (np.nan,) * 3


class Found(NamedTuple):
    """A central difference: its uncertainty is `truncation` and `floor`, the rounding error, over the step."""

    uncertainty: float
    derivative: float
    step: float
    truncation: float
    floor: float


class Differences:
    """Of a cost that is `base` at step 0; `noise` is its rounding error; `in_steps` says that it is large, as of float32."""

    def __init__(self, base, noise, in_steps=False):
        self.base, self.noise, self.in_steps = base, noise, in_steps

    def rounding(self, *costs):
        """The rounding error of one of these costs: where the cost at step 0 is 0 by chance, theirs is larger."""
        return SIGMAS * max(self.noise, EPS * np.max(np.abs(costs)))

    def at(self, J, step):
        """The error comes from a third point of the stencil, see `oracles.py`."""
        before, after, further = (J(k * step) for k in (-1, 1, 2))
        truncation = abs(further - 3 * after + 3 * self.base - before) / 3
        floor = self.rounding(before, after, further) / np.sqrt(2)  # of half a difference of two costs
        return Found((truncation + floor) / step, (after - before) / (2 * step), step, truncation, floor)

    def best(self, J, steps):
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

    def settled(self, J, step):
        """Derivative, uncertainty, whether a kink was crossed at `step`, and the three of a `Tie`.

        Where `step` is too rough, smaller ones are tried. Where a kink stays inside all of them it lies at 0.
        """
        found = self.at(J, step)
        if self.in_steps:
            return found.derivative, max(found.uncertainty, SIGMAS * self.spread(J, step)), False, *NO_TIE
        if found.truncation <= ROUGH * found.floor:
            return found.derivative, found.uncertainty, False, *NO_TIE
        # Of a smooth cost the third difference falls with the cube of the step; over a kink, with the step.
        smaller = self.at(J, step / SHRINK)
        crossed = smaller.truncation > max(found.truncation / SHRINK**2, smaller.floor)
        first, found = found, self.best(J, step / float(SHRINK) ** np.arange(1, RETRIES + 1))
        # At a kink no step is more certain than another, until rounding covers it.
        if found.truncation <= ROUGH * found.floor and (not crossed or found.uncertainty < first.uncertainty / ROUGH):
            return found.derivative, found.uncertainty, crossed, *NO_TIE
        (left_error, left), (right_error, right) = (self.one_sided(J, sign * step) for sign in (-1, 1))
        slack = max(left_error, right_error)
        tied = slack <= min(CERTAIN * max(abs(left), abs(right)), abs(right - left))
        return found.derivative, np.inf, True, *((left, right, slack) if tied else NO_TIE)

    def spread(self, J, step):
        """How far the derivatives at this step, its half and its quarter lie apart, which is what the kinks inside them do."""
        return np.ptp([self.at(J, step / share).derivative for share in (1, 2, 4)])

    def one_sided(self, J, step):
        """To third order, (-11 J(0) + 18 J(h) - 9 J(2h) + 2 J(3h)) / 6h: its error, and the derivative."""
        best = np.inf, np.nan
        for h in step / float(SHRINK) ** np.arange(RETRIES):
            costs = [self.base, *(J(k * h) for k in (1, 2, 3))]
            truncation = abs(np.dot([-1, 3, -3, 1], costs)) / 3
            # sqrt(11^2 + 18^2 + 9^2 + 2^2) / 6 = 3.8 of the noise of J.
            rounding = self.rounding(*costs)
            error = (truncation + 3.8 * rounding) / abs(h)
            best = min(best, (error, np.dot([-11, 18, -9, 2], costs) / (6 * h)))
            if truncation <= rounding / np.sqrt(2):
                break
        return best
