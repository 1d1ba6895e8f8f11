"""The complex step at every entry of a tensor, for a chain of layers: its only error is rounding."""

from collections.abc import Callable, Sequence

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.chain import Chain, penalty_change
from gradcheck.derivations.estimate import COMPLEX_STEP, Estimate, exactly
from gradcheck.threads import in_threads


def complex_step(chain: Chain, tensor: str, entries: Array, lams: Sequence[float], advance: Callable[[int], None]) -> Estimate:
    """dJ/dw = Im J(w + ih) / h (Squire and Trapp 1998): no subtraction, so no cancellation, whatever h.

    `entries` (entries,) are flat indices of the tensor. `lams` holds lambda of its layer for each case, zero for what is not
    penalised. `advance(count)` is called with the number of entries that are done since the last call.
    """
    w = chain.parameters[tensor].ravel()
    step = 1j * COMPLEX_STEP

    def derivative(piece: Array) -> Array:
        losses, _ = chain.losses(tensor, piece, step)  # (P,)
        costs = [losses + penalty_change(w[piece], lam_l, step) for lam_l in lams]
        return np.imag(costs) / COMPLEX_STEP  # (cases, P)

    derivatives = []
    for piece in in_threads(derivative, chain.pieces(tensor, entries)):
        derivatives.append(piece)
        advance(piece.shape[1])
    return exactly(np.concatenate(derivatives, axis=1))  # (cases, entries)
