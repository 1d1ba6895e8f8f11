"""What an oracle answers: derivatives, how far to trust each of them, and what it saw of kinks and ties."""

from typing import NamedTuple

import numpy as np

EPS = np.finfo(np.float64).eps

# Far below the smallest number that could matter, far above the smallest float64: h^2 vanishes against 1, h does not.
COMPLEX_STEP = 1e-100

# Where truncation h^2/6 |J'''| and rounding eps |J| / h of a central difference meet, for derivatives of order one.
CENTRAL_STEP = EPS ** (1 / 3)

# The rounding error allowed, in standard deviations of the noise: one false alarm in 1e15 entries were it Gaussian.
SIGMAS = 8


class Tie(NamedTuple):
    """The derivatives from the left and from the right and their uncertainty, (cases, entries); not a number without a tie."""

    left: np.ndarray
    right: np.ndarray
    slack: np.ndarray


class Estimate(NamedTuple):
    """For some entries of one tensor and each case (lambda): `derivative` and its absolute `uncertainty`, (cases, entries).

    An entry whose uncertainty is infinite could not be decided. `crossed` (entries,) says where a kink lies inside the stencil
    first used, `tie` where it lies at the point itself (None where it does nowhere).
    """

    derivative: np.ndarray
    uncertainty: np.ndarray
    crossed: np.ndarray
    tie: Tie | None = None


def exactly(derivative):
    """The Estimate of an oracle whose only error is rounding, measured elsewhere; derivative is (cases, entries)."""
    return Estimate(derivative, np.zeros_like(derivative), np.zeros(derivative.shape[1], bool))
