"""When a suspicion explains a wrong gradient: a suspicion is a sentence with the gradient that it predicts.

It is believed if that is the claimed gradient up to a small share of claimed - reference or up to rounding, if what it was
computed from is known well enough for that, and if so many entries confirm it that chance is none of the reasons.
"""

from typing import NamedTuple

import numpy as np

from gradcheck.arrays import Array

# The share of claimed - reference that a prediction may leave unexplained.
UNEXPLAINED = 1e-5

# What is not known to this share of claimed - reference is no evidence of where that comes from.
SHARP = 1e-2

# How improbable an agreement by chance has to be: as that of one entry, and of two where numbers were fitted.
CHANCE, CHANCE_OF_FIT = UNEXPLAINED, UNEXPLAINED**2

NOT_FINITE = "it is not finite everywhere"
TINY = float(np.finfo(float).tiny)


class Suspicion(NamedTuple):
    """A sentence, and the gradient that it predicts, an array of the tensor's shape.

    `fitted` numbers in it were chosen so that it comes close to the claimed gradient. The right gradient is known up to an
    uncertainty, of which the prediction has `amplifies` times as much. A `vague` sentence says where or by
    how much it is wrong, and not why.
    """

    sentence: str
    prediction: Array
    fitted: int = 0
    amplifies: float = 1.0
    vague: bool = False


def unexplained(prediction: Array, claimed: Array, reference: Array) -> float:
    """The share of claimed - reference that `prediction` leaves; all are of the tensor's shape."""
    with np.errstate(invalid="ignore"):
        return float(np.abs(claimed - prediction).max() / max(np.abs(claimed - reference).max(), TINY))


def explains(suspicion: Suspicion, claimed: Array, reference: Array, rounding: float) -> bool:
    """Whether the suspicion predicts `claimed`; `rounding` is how far claimed - reference may be off at an entry."""
    prediction = suspicion.prediction
    if np.shape(prediction) != claimed.shape or not np.isfinite(prediction).all():
        return False
    error, left = np.abs(claimed - reference).max(), np.abs(claimed - prediction).max()
    if error <= rounding:  # nothing is wrong here, and the suspicion must not say that something is
        return bool(left <= rounding)
    if suspicion.amplifies * rounding > error or left > max(UNEXPLAINED * error, min(rounding, SHARP * error)):
        return False
    share = max(left / error, UNEXPLAINED)
    confirming = np.count_nonzero(np.abs(prediction - reference) > share * error) - suspicion.fitted
    return bool(confirming > 0 and share**confirming <= (CHANCE_OF_FIT if suspicion.fitted else CHANCE))


def with_evidence(name: str, sentence: str, left: float) -> str:
    """The diagnosis of a tensor in full, with the share of claimed - reference that it leaves."""
    if not left > 0:  # also where it is not a number
        return f"{name}: {sentence}"
    share = f"all but {left:.0e} of claimed - reference" if left < UNEXPLAINED else "claimed - reference up to rounding"
    return f"{name}: {sentence} (explains {share})"


def projection(array: Array, direction: Array) -> float:
    """The factor c for which c * direction is closest to `array`; 0 where the direction is."""
    return float(np.vdot(array, direction) / max(np.vdot(direction, direction), TINY))
