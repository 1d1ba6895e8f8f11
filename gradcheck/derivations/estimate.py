"""What an oracle answers: derivatives, how far to trust each of them, and what it saw of kinks and ties."""

from typing import NamedTuple

import numpy as np

from gradcheck.arrays import Array

EPS = float(np.finfo(np.float64).eps)

# Its square vanishes against 1, and what it is multiplied by may be as small as 1e-280 before a derivative is lost below the
# smallest float64. Of a pair it is a share of what the step moves.
COMPLEX_STEP = 1e-20

# Where truncation h^2/6 |J'''| and rounding eps |J| / h of a central difference meet, for derivatives of order one.
CENTRAL_STEP = EPS ** (1 / 3)

# The rounding error allowed, in standard deviations of the noise: one false alarm in 1e15 entries were it Gaussian.
SIGMAS = 8

# The root of the sum of squares of the coefficients of the one-sided difference (-11 J(0) + 18 J(h) - 9 J(2h) + 2 J(3h)) / 6h:
# sqrt(11^2 + 18^2 + 9^2 + 2^2) / 6. Its rounding error is so many times that of J, over h.
ONE_SIDED_NOISE = 3.8


class OneSided(NamedTuple):
    """The derivatives from the left and from the right and their uncertainty, (cases, entries); not a number without a tie."""

    left: Array
    right: Array
    slack: Array


class Estimate(NamedTuple):
    """For some entries of one tensor and each case (lambda): `derivative` and its absolute `uncertainty`, (cases, entries).

    An entry whose uncertainty is infinite could not be decided. `crossed` (entries,) says where a kink lies inside the stencil
    first used, `tie` where it lies at the point itself (None where it does nowhere).
    """

    derivative: Array
    uncertainty: Array
    crossed: Array
    tie: OneSided | None = None


def exactly(derivative: Array) -> Estimate:
    """The Estimate of an oracle whose only error is rounding, measured elsewhere; `derivative` is (cases, entries)."""
    return Estimate(derivative, np.zeros_like(derivative), np.zeros(derivative.shape[1], bool))


def unknown(found: Estimate) -> Estimate:
    """The Estimate of a derivative of which nothing is known after all."""
    return found._replace(uncertainty=np.full_like(found.uncertainty, np.inf))


def at_places(found: Estimate, where: Array) -> Estimate:
    """The Estimate of some of its entries."""
    tie = None if found.tie is None else OneSided(*(side[:, where] for side in found.tie))
    return Estimate(found.derivative[:, where], found.uncertainty[:, where], found.crossed[where], tie)


def largest_known(found: Estimate) -> Array:
    """The largest derivative of each case that is known not to be 0, (cases, 1)."""
    known = np.isfinite(found.derivative) & (np.abs(found.derivative) > found.uncertainty)
    return np.max(np.abs(found.derivative), axis=1, keepdims=True, initial=0, where=known)
