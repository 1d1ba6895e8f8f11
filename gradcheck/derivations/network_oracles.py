"""Derivations of a gradient at every entry, for a chain of layers: each answers with the derivative and how far to trust it.

The cost is J = loss + sum_l lambda_l sum W_l^2; only the loss is run again for each entry.
"""

import numpy as np

from gradcheck.derivations.chain import in_threads
from gradcheck.derivations.estimate import CENTRAL_STEP, COMPLEX_STEP, EPS, SIGMAS, Estimate, Tie, exactly

# An entry whose stencil crosses a kink is tried again with the step divided by this, this many times.
SHRINK, RETRIES = 16, 3

# A step that moves nothing but an exact 0.
INFINITESIMAL = 1e-200


def penalty_change(W, lam_l, step):
    """lam_l ((w + step)^2 - w^2) for each entry w of W (P,): what the penalty gains when that entry moves alone."""
    moved = W + step  # (P,)
    return lam_l * (moved * moved - W * W)  # (P,)


def complex_step(chain, tensor, entries, lams, advance):
    """dJ/dw = Im J(w + ih) / h (Squire and Trapp 1998): no subtraction, so no cancellation, whatever h.

    `entries` are flat indices. `lams` holds lambda of this tensor's layer, zero for what is not penalised.
    `advance(count)` reports progress.
    """
    w = chain.parameters[tensor].ravel()
    step = 1j * COMPLEX_STEP

    def derivative(piece):
        losses, _ = chain.losses(tensor, piece, step)  # (P,)
        costs = [losses + penalty_change(w[piece], lam_l, step) for lam_l in lams]
        return np.imag(costs) / COMPLEX_STEP  # (cases, P)

    derivatives = []
    for piece in in_threads(derivative, chain.pieces(tensor, entries)):
        derivatives.append(piece)
        advance(piece.shape[1])
    return exactly(np.concatenate(derivatives, axis=1))  # (cases, entries)


def central_difference(chain, tensor, entries, lams, penalties, advance):
    """dJ/dw = (J(w+h) - J(w-h)) / 2h, with its own error from a third point of the stencil, 2h.

    The third difference J(2h) - 3 J(h) + 3 J(0) - J(-h) = h^3 J''' + ... over 6h is the truncation error h^2/6 J''', and is
    taken twice for the orders above. It is almost all noise, h^3 J''' being below rounding; its mean square over a tensor, by
    20 = 1+9+9+1, is the variance of the rounding error of J, which the difference divides by sqrt(2) h. `penalties` is the
    penalty at the unperturbed parameters for each lambda. The rest as for `complex_step`.
    """
    w = chain.parameters[tensor].ravel()
    lams, penalties = np.array(lams)[:, None], np.array(penalties)[:, None]  # (cases, 1)
    base = chain.loss_of_each.sum() + penalties  # (cases, 1)

    def points(piece, step, multiples):
        """The costs (cases, P) at these multiples of the step, and how many ReLUs differ there (P,)."""
        costs, crossings = {0: base}, {}
        for k in multiples:
            losses, crossings[k] = chain.losses(tensor, piece, k * step)  # (P,)
            costs[k] = losses + (penalties + penalty_change(w[piece], lams, k * step))  # (cases, P)
        return costs, crossings

    def stencil(piece, step):
        costs, crossings = points(piece, step, (-1, 1, 2))
        third = costs[2] - 3 * costs[1] + 3 * costs[0] - costs[-1]
        return (costs[1] - costs[-1]) / (2 * step), third, np.any(list(crossings.values()), axis=0)

    def one_sided(piece, step):
        """To third order, (-11 J(0) + 18 J(h) - 9 J(2h) + 2 J(3h)) / 6h, from both sides; the share of its third difference
        tells how far to trust it. Not a number where a further kink lies on that side."""
        sides = []
        for sign in (-1, 1):
            J, crossings = points(piece, sign * step, (1, 2, 3))
            third = J[3] - 3 * J[2] + 3 * J[1] - J[0]  # h^3 J'''
            derivative = (18 * J[1] - 9 * J[2] + 2 * J[3] - 11 * J[0]) / (6 * sign * step)
            clean = (crossings[1] == crossings[2]) & (crossings[2] == crossings[3])
            sides += [np.where(clean, derivative, np.nan), np.abs(third) / (3 * step)]
        return sides

    def over_pieces(function, chosen, step, progress=lambda count: None):
        columns = []
        for piece in in_threads(lambda piece: function(piece, step), chain.pieces(tensor, chosen)):
            columns.append(piece)
            progress(piece[0].shape[-1])
        return [np.concatenate(column, axis=-1) for column in zip(*columns, strict=True)]

    step = CENTRAL_STEP
    derivative, third, crossed = over_pieces(stencil, entries, step, advance)
    squares = (third**2).sum(axis=1, where=~crossed, keepdims=True) / max((~crossed).sum(), 1)  # (cases, 1)
    # Never below the rounding of J and of the logits it comes from: few entries could miss it by luck, and entries that
    # cannot move the loss (dead units, constant pixels) have no noise and thin out that of the others.
    rounding = EPS * np.maximum(np.abs(base), np.abs(chain.base[1][-1]).max())  # (cases, 1)
    noise = np.maximum(np.sqrt(squares / 20), rounding)  # (cases, 1)
    uncertainty = (np.abs(third) / 3 + SIGMAS * noise / np.sqrt(2)) / step  # (cases, entries)

    pending = np.flatnonzero(crossed)
    for _ in range(RETRIES):
        if not pending.size:
            break
        step /= SHRINK
        again, third, still = over_pieces(stencil, entries[pending], step)
        derivative[:, pending] = again
        uncertainty[:, pending] = (np.abs(third) / 3 + SIGMAS * noise / np.sqrt(2)) / step
        pending = pending[still]
    uncertainty[:, pending] = np.inf
    if not pending.size:
        return Estimate(derivative, uncertainty, crossed)

    at_kink = [chain.losses(tensor, entries[pending], sign * INFINITESIMAL)[1] > 0 for sign in (-1, 1)]
    tied = pending[np.any(at_kink, axis=0)]
    tie = Tie(*(np.full(derivative.shape, np.nan) for _ in range(3)))
    if tied.size:
        left, left_error, right, right_error = over_pieces(one_sided, entries[tied], CENTRAL_STEP)
        tie.left[:, tied], tie.right[:, tied] = left, right
        # sqrt(11^2 + 18^2 + 9^2 + 2^2) / 6 = 3.8 of the noise of J.
        tie.slack[:, tied] = np.maximum(left_error, right_error) + 3.8 * SIGMAS * noise / CENTRAL_STEP
    return Estimate(derivative, uncertainty, crossed, tie)
