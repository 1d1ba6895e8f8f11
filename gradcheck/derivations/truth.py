"""What the oracles together know of a gradient: what a cause may rest on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import Estimate


class Truth(NamedTuple):
    """The right gradient of a tensor as far as it is known; arrays are (cases, *shape of the tensor).

    `derivative` is that of the most exact oracle that could decide an entry, with its `uncertainty`; `decided` says at which
    entries there is one that is not contested, and no tie, where several derivatives are right. Elsewhere the derivative is
    not a number, and no evidence. `contested` says where another oracle that could decide contradicts it and none confirms
    it: then it may be wrong, and not the claim.
    """

    derivative: Array
    uncertainty: Array
    decided: Array
    contested: Array


def truth_of(
    estimates: Mapping[str, Estimate], deciding: Mapping[str, Array], rounding: Array, entries: Array, shape: tuple[int, ...]
) -> Truth:
    """The truth of a tensor of `shape`, from what the oracles say at flat `entries`, the most exact first.

    `deciding` says where each could decide, and `rounding` what rounding may change: (cases, entries) each.
    """
    derivative, uncertainty = np.full(rounding.shape, np.nan), np.full(rounding.shape, np.inf)
    contradicted, confirmed, tied = np.zeros((3, *rounding.shape), bool)
    for oracle, found in estimates.items():
        speaks = deciding[oracle] & np.isfinite(found.derivative) & np.isfinite(found.uncertainty)
        with np.errstate(invalid="ignore"):
            agrees = np.abs(found.derivative - derivative) <= found.uncertainty + uncertainty + rounding
        first = speaks & np.isnan(derivative)
        contradicted |= speaks & ~first & ~agrees
        confirmed |= speaks & ~first & agrees
        if found.tie is not None:
            tied |= np.isfinite(found.tie.left) | np.isfinite(found.tie.right)
        derivative, uncertainty = np.where(first, (found.derivative, found.uncertainty), (derivative, uncertainty))
    contested = contradicted & ~confirmed
    decided = ~np.isnan(derivative) & ~contested & ~tied
    known, off = np.where(decided, (derivative, uncertainty), ([[np.nan]], [[np.inf]]))
    return Truth(
        derivative=spread(known, np.nan, entries, shape),
        uncertainty=spread(off, np.inf, entries, shape),
        decided=spread(decided, False, entries, shape),
        contested=spread(contested, False, entries, shape),
    )


def spread(values: Array, fill: float | bool, entries: Array, shape: Sequence[int]) -> Array:
    """`values` (cases, entries) at flat `entries` of a tensor of `shape`, and `fill` elsewhere: (cases, *shape)."""
    everywhere = np.full((len(values), int(np.prod(shape))), fill)
    everywhere[:, entries] = values
    return everywhere.reshape(-1, *shape)
