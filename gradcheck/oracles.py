"""Three independent derivations of a gradient, at every entry: each answers with the derivative and how far to trust it.

An `Estimate` holds, for some entries of one tensor and each lambda, the derivative and its absolute `uncertainty`,
(lambdas, entries), and which of them had a ReLU change sign inside the stencil first used, `crossed` (entries,). An entry
whose uncertainty is infinite could not be decided. The cost is J = loss + sum_l lambda_l sum W_l^2; only the loss is run
again for each entry.
"""

from typing import NamedTuple

import numpy as np

from gradcheck.chain import in_threads

EPS = np.finfo(np.float64).eps

# Far below the smallest number that could matter, far above the smallest float64: h^2 vanishes against 1, h does not.
COMPLEX_STEP = 1e-100

# Where truncation h^2/6 |J'''| and rounding eps |J| / h of a central difference meet, for derivatives of order one.
CENTRAL_STEP = EPS ** (1 / 3)

# An entry whose stencil crosses a kink is tried again with the step divided by this, this many times.
SHRINK, RETRIES = 16, 3

# The rounding error allowed, in standard deviations of the noise: one false alarm in 1e15 entries were it Gaussian.
SIGMAS = 8


class Estimate(NamedTuple):
    derivative: np.ndarray
    uncertainty: np.ndarray
    crossed: np.ndarray


def penalty_change(W, lam_l, step):
    """lam_l ((w + step)^2 - w^2) for each entry w of W (P,): what the penalty gains when that entry moves alone."""
    moved = W + step  # (P,)
    return lam_l * (moved * moved - W * W)  # (P,)


def complex_step(chain, tensor, entries, lams, advance):
    """dJ/dw = Im J(w + ih) / h (Squire and Trapp 1998): no subtraction, so no cancellation, whatever h.

    `entries` are flat indices. `lams` holds lambda of this tensor's layer, zero for what is not penalised.
    `advance(count)` reports progress.
    The uncertainty is left at zero: the arithmetic rounds like any gradient, which `rounding.py` measures.
    """
    w = chain.parameters[tensor].ravel()
    step = 1j * COMPLEX_STEP

    def derivative(piece):
        losses, _ = chain.losses(tensor, piece, step)  # (P,)
        costs = [losses + penalty_change(w[piece], lam_l, step) for lam_l in lams]
        return np.imag(costs) / COMPLEX_STEP  # (lambdas, P)

    derivatives = []
    for piece in in_threads(derivative, chain.pieces(tensor, entries)):
        derivatives.append(piece)
        advance(piece.shape[1])
    derivatives = np.concatenate(derivatives, axis=1)  # (lambdas, entries)
    return Estimate(derivatives, np.zeros_like(derivatives), np.zeros(len(entries), bool))


def central_difference(chain, tensor, entries, lams, penalties, advance):
    """dJ/dw = (J(w+h) - J(w-h)) / 2h, with its own error from the values of the stencil.

    D(h) - J' is h^2/6 J''' + ..., so D(2h) - D(h) is three times the truncation error of D(h): taken whole. The fourth
    difference of J over the stencil is noise alone (h^4 J'''' is far below rounding); its mean square over a tensor, by
    70 = 1+16+36+16+1, is the variance of the rounding error of J, which D(h) divides by sqrt(2) h. `penalties` is the
    penalty at the unperturbed parameters for each lambda. The rest as for `complex_step`.
    """
    w = chain.parameters[tensor].ravel()
    lams, penalties = np.array(lams)[:, None], np.array(penalties)[:, None]  # (lambdas, 1)
    logits = chain.base[1][-1]  # (n, K)
    base = chain.loss_of_each.sum() + penalties  # (lambdas, 1)

    def stencil(piece, step):
        costs, crossed = {0: base}, np.zeros(len(piece), bool)
        for k in (-2, -1, 1, 2):
            losses, changed = chain.losses(tensor, piece, k * step)  # (P,)
            costs[k] = losses + (penalties + penalty_change(w[piece], lams, k * step))  # (lambdas, P)
            crossed |= changed > 0
        near = (costs[1] - costs[-1]) / (2 * step)
        far = (costs[2] - costs[-2]) / (4 * step)
        fourth = costs[-2] - 4 * costs[-1] + 6 * costs[0] - 4 * costs[1] + costs[2]
        return near, np.abs(far - near), fourth, crossed

    def difference(chosen, step, progress=lambda count: None):
        found = in_threads(lambda piece: stencil(piece, step), chain.pieces(tensor, chosen))
        columns = []
        for piece in found:
            columns.append(piece)
            progress(len(piece[-1]))
        return [np.concatenate(column, axis=-1) for column in zip(*columns, strict=True)]

    step = CENTRAL_STEP
    derivative, truncation, fourth, crossed = difference(entries, step, advance)
    squares = (fourth**2).sum(axis=1, where=~crossed, keepdims=True) / max((~crossed).sum(), 1)  # (lambdas, 1)
    # Never below the rounding of J and of the logits it comes from: few entries could miss it by luck, and entries that
    # cannot move the loss (dead units, constant pixels) have no noise and thin out that of the others.
    rounding = EPS * np.maximum(np.abs(base), np.abs(logits).max())  # (lambdas, 1)
    noise = np.maximum(np.sqrt(squares / 70), rounding)  # (lambdas, 1)
    uncertainty = truncation + SIGMAS * noise / (np.sqrt(2) * step)  # (lambdas, entries)

    pending = np.flatnonzero(crossed)
    for _ in range(RETRIES):
        if not pending.size:
            break
        step /= SHRINK
        again, truncation, _, still = difference(entries[pending], step)
        derivative[:, pending] = again
        uncertainty[:, pending] = truncation + SIGMAS * noise / (np.sqrt(2) * step)
        pending = pending[still]
    uncertainty[:, pending] = np.inf
    return Estimate(derivative, uncertainty, crossed)
