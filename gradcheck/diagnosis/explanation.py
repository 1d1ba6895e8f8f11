"""When a suspicion explains a wrong gradient: a suspicion is a sentence with the gradient that it predicts.

It is believed if that is the claimed gradient, up to a small share of claimed - reference.
"""

import numpy as np

from gradcheck.arrays import Array

# A sentence, and the gradient that it predicts.
Suspicion = tuple[str, Array]

# The share of claimed - reference that a prediction may leave unexplained.
UNEXPLAINED = 1e-5

NOT_FINITE = "it is not finite everywhere"
TINY = float(np.finfo(float).tiny)


def unexplained(prediction: Array, claimed: Array, reference: Array) -> float:
    """The share of claimed - reference that `prediction` leaves; all are of the tensor's shape."""
    with np.errstate(invalid="ignore"):
        return float(np.abs(claimed - prediction).max() / max(np.abs(claimed - reference).max(), TINY))


def explains(prediction: Array, claimed: Array, reference: Array, rounding: float) -> bool:
    """Whether `prediction` is `claimed`, up to rounding or a small share of its error."""
    if np.shape(prediction) != claimed.shape or not np.isfinite(prediction).all():
        return False
    error, left = np.abs(claimed - reference).max(), np.abs(claimed - prediction).max()
    return bool(left <= (rounding if error <= rounding else max(UNEXPLAINED * error, min(rounding, 1e-2 * error))))


def with_evidence(name: str, sentence: str, left: float) -> str:
    """The diagnosis of a tensor in full, with the share of claimed - reference that it leaves."""
    return f"{name}: {sentence}" + (f" (explains all but {left:.0e} of claimed - reference)" if left > 0 else "")


def projection(array: Array, direction: Array) -> float:
    """The factor c for which c * direction is closest to `array`; 0 where the direction is."""
    return float(np.vdot(array, direction) / max(np.vdot(direction, direction), TINY))
