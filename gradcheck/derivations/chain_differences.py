"""Central differences at every entry of a tensor, for a chain of layers: with their own error, over kinks and at ties.

The cost is J = loss + sum_l lambda_l sum W_l^2; only the loss is run again for each entry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.chain import Chain, penalty_change
from gradcheck.derivations.estimate import CENTRAL_STEP, EPS, ONE_SIDED_NOISE, SIGMAS, Estimate, OneSided
from gradcheck.threads import in_threads

# An entry whose stencil crosses a kink is tried again with the step divided by this, this many times.
SHRINK, RETRIES = 16, 3

# A step that moves nothing but an exact 0.
INFINITESIMAL = 1e-200


def central_difference(
    chain: Chain,
    tensor: str,
    entries: Array,
    lams: Sequence[float],
    penalties: Sequence[float],
    advance: Callable[[int], None],
) -> Estimate:
    """dJ/dw = (J(w+h) - J(w-h)) / 2h, with its own error from a third point of the stencil, 2h.

    The third difference J(2h) - 3 J(h) + 3 J(0) - J(-h) = h^3 J''' + ... over 6h is the truncation error h^2/6 J''', and is
    taken twice for the orders above. `entries` (entries,) are flat indices of the tensor. `lams` holds lambda of its layer for
    each case, zero for what is not penalised, `penalties` the whole penalty of each case at the unperturbed parameters.
    `advance(count)` is called with the number of entries that are done since the last call.
    """
    cost = CostOfEntries(chain, tensor, np.array(lams)[:, None], np.array(penalties)[:, None])
    first = over_pieces(stencil, cost, entries, CENTRAL_STEP, advance)
    noise = rounding_noise(cost, first)  # (cases, 1)
    derivative, uncertainty = first.derivative, first.uncertainty(noise, CENTRAL_STEP)  # (cases, entries)
    pending = retry_at_kinks(cost, entries, first.crossed, noise, derivative, uncertainty)
    return Estimate(derivative, uncertainty, first.crossed, ties(cost, entries, pending, noise))


@dataclass(frozen=True)
class CostOfEntries:
    """The cost when entries of `tensor` are moved one at a time; `lams` and `penalties` are (cases, 1)."""

    chain: Chain
    tensor: str
    lams: Array
    penalties: Array

    @cached_property
    def base(self) -> Array:
        """The unperturbed cost, (cases, 1)."""
        return self.chain.loss_of_each.sum() + self.penalties

    def at(self, entries: Array, step: float) -> tuple[Array, Array]:
        """The cost with `step` added to each of `entries` (P,), (cases, P); how many ReLUs have another sign there, (P,)."""
        w = self.chain.parameters[self.tensor].ravel()[entries]  # (P,)
        losses, crossings = self.chain.losses(self.tensor, entries, step)  # (P,) each
        return losses + (self.penalties + penalty_change(w, self.lams, step)), crossings


class Stencil(NamedTuple):
    """The costs at -h, 0, h and 2h: the central `derivative` and the `third` difference, (cases, P); where a ReLU has
    `crossed` its kink, (P,)."""

    derivative: Array
    third: Array
    crossed: Array

    def uncertainty(self, noise: Array, step: float) -> Array:
        """That of the derivative: truncation, and the rounding error of the cost, `noise` (cases, 1)."""
        return (np.abs(self.third) / 3 + SIGMAS * noise / np.sqrt(2)) / step  # (cases, P)


def stencil(cost: CostOfEntries, entries: Array, step: float) -> Stencil:
    """The Stencil at each of `entries` (P,)."""
    (before, crossed_before), (after, crossed_after), (further, crossed_further) = (
        cost.at(entries, multiple * step) for multiple in (-1, 1, 2)
    )
    third = further - 3 * after + 3 * cost.base - before  # (cases, P)
    crossed = np.any([crossed_before, crossed_after, crossed_further], axis=0)  # (P,)
    return Stencil((after - before) / (2 * step), third, crossed)


def rounding_noise(cost: CostOfEntries, found: Stencil) -> Array:
    """The standard deviation of the rounding error of the cost, (cases, 1), from the Stencil of all entries of a tensor.

    The third difference is almost all noise, h^3 J''' being below rounding; its mean square over the tensor, by
    20 = 1+9+9+1, is the variance of the rounding error of J, which the central difference divides by sqrt(2) h.
    """
    clean = ~found.crossed  # (entries,)
    squares = (found.third**2).sum(axis=1, where=clean, keepdims=True) / max(clean.sum(), 1)  # (cases, 1)
    # Never below the rounding of J and of the logits it comes from: few entries could miss it by luck, and entries that
    # cannot move the loss (dead units, constant pixels) have no noise and thin out that of the others.
    rounding = EPS * np.maximum(np.abs(cost.base), np.abs(cost.chain.logits).max())  # (cases, 1)
    return np.maximum(np.sqrt(squares / 20), rounding)


def retry_at_kinks(
    cost: CostOfEntries, entries: Array, crossed: Array, noise: Array, derivative: Array, uncertainty: Array
) -> Array:
    """Tries the entries that `crossed` (entries,) a kink with smaller steps, and writes what it finds into `derivative` and
    `uncertainty` (cases, entries). Returns the places of those that still cross one: their uncertainty is infinite."""
    step, pending = CENTRAL_STEP, np.flatnonzero(crossed)
    for _ in range(RETRIES):
        if not pending.size:
            break
        step /= SHRINK
        found = over_pieces(stencil, cost, entries[pending], step)
        derivative[:, pending] = found.derivative
        uncertainty[:, pending] = found.uncertainty(noise, step)
        pending = pending[found.crossed]
    uncertainty[:, pending] = np.inf
    return pending


def ties(cost: CostOfEntries, entries: Array, pending: Array, noise: Array) -> OneSided | None:
    """The one-sided derivatives of those entries, among the places `pending`, that have their kink at the point itself.

    None if none has.
    """
    if not pending.size:
        return None
    at_kink = [cost.chain.losses(cost.tensor, entries[pending], sign * INFINITESIMAL)[1] > 0 for sign in (-1, 1)]
    tied = pending[np.any(at_kink, axis=0)]
    if not tied.size:
        return None
    left, right = (over_pieces(one_sided, cost, entries[tied], sign * CENTRAL_STEP) for sign in (-1, 1))
    tie = OneSided(*np.full((3, len(noise), len(entries)), np.nan))
    tie.left[:, tied], tie.right[:, tied] = left.derivative, right.derivative
    tie.slack[:, tied] = np.maximum(left.error, right.error) + ONE_SIDED_NOISE * SIGMAS * noise / CENTRAL_STEP
    return tie


class Side(NamedTuple):
    """A one-sided `derivative` and its truncation `error`, (cases, P)."""

    derivative: Array
    error: Array


def one_sided(cost: CostOfEntries, entries: Array, step: float) -> Side:
    """To third order, (-11 J(0) + 18 J(h) - 9 J(2h) + 2 J(3h)) / 6h, at each of `entries` (P,), with the step h of either sign.

    The share of its third difference tells how far to trust it. Not a number where a further kink lies on that side.
    """
    (J1, crossed1), (J2, crossed2), (J3, crossed3) = (cost.at(entries, multiple * step) for multiple in (1, 2, 3))
    third = J3 - 3 * J2 + 3 * J1 - cost.base  # h^3 J''', (cases, P)
    derivative = (18 * J1 - 9 * J2 + 2 * J3 - 11 * cost.base) / (6 * step)  # (cases, P)
    clean = (crossed1 == crossed2) & (crossed2 == crossed3)  # (P,)
    return Side(np.where(clean, derivative, np.nan), np.abs(third) / (3 * abs(step)))


Columns = TypeVar("Columns", Stencil, Side)


def over_pieces(
    function: Callable[[CostOfEntries, Array, float], Columns],
    cost: CostOfEntries,
    entries: Array,
    step: float,
    advance: Callable[[int], None] = lambda count: None,
) -> Columns:
    """`function(cost, entries, step)`, computed in pieces, in threads, and joined along the entries."""
    found = []
    for piece in in_threads(lambda piece: function(cost, piece, step), cost.chain.pieces(cost.tensor, entries)):
        found.append(piece)
        advance(piece[0].shape[-1])
    return type(found[0])(*(np.concatenate(columns, axis=-1) for columns in zip(*found, strict=True)))
