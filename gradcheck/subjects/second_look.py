"""A second look at the entries of a pair at which an oracle stands against the claim: is it the claim that is wrong?

The complex step is repeated with other steps, and with the results inside the cost rounded at random; differences are repeated
by a sweep. What they say then is what is judged. An exact oracle that sharp differences contradict is set aside.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.differences import CERTAIN
from gradcheck.derivations.estimate import Estimate, OneSided
from gradcheck.errors import OutOfTime
from gradcheck.rounding.draws import DRAWS, SAFETY
from gradcheck.subject import no_progress
from gradcheck.subjects.pair_oracles import PairOracles
from gradcheck.verdict import EXACT_ORACLES

# Entries of a tensor that are looked at again, at most; and where the claim stays wrong at so many in a row, no more of them.
MOST, SOON = 500, 6

# Other steps of the complex step, as multiples of the first.
OTHER_STEPS = (2.0**-13, 2.0**21)
# The largest, for a derivative that is nearly as small as the smallest number.
LARGEST_STEP = 2.0**42
# How far two complex steps lie apart stands for their error, times this.
SCATTER = 4
# Where differences confirm the claim, and allow so many times less than another oracle is off, it is that oracle that is wrong.
SHARPER = 10
# A derivative that is known no better than to this share of it is looked at again, where no exact oracle knows it.
COARSE = 1e-4


class SecondLook:
    """Along `directions` in one tensor, such as its entries, where `claimed` is to be judged and `rounding` is what rounding
    may change in it, (directions,) each.

    `estimates` are what the oracles say there, by name, with arrays (1, directions); what they say after the look is in
    `found`. `refuted` counts by oracle the directions along which it was set aside, `scatter` is how far complex steps lie
    apart, at most.
    """

    def __init__(
        self,
        derive: PairOracles,
        tensor: str,
        directions: Sequence[Array],
        claimed: Array,
        rounding: Array,
        estimates: Mapping[str, Estimate],
    ) -> None:
        self.derive, self.tensor, self.directions = derive, tensor, directions
        self.claimed, self.rounding = claimed, rounding
        self.found = {oracle: with_own_arrays(estimate) for oracle, estimate in estimates.items()}
        self.refuted: dict[str, int] = {}
        self.scatter = 0.0

    def look(self) -> dict[str, Estimate]:
        """The estimates after a second look at the entries that are in doubt."""
        in_a_row = 0
        doubtful = self.in_doubt()
        for place, k in enumerate(doubtful):
            if place == MOST:
                self.leave_undecided(doubtful[place:])
                break
            try:
                self.repeat(k, self.directions[k])
            except OutOfTime:
                self.leave_undecided(doubtful[place:])
                break
            in_a_row = in_a_row + 1 if self.stays_wrong(k) else 0
            if in_a_row == SOON:
                break
        self.allow_for_scatter()
        return {oracle: without_empty_tie(found) for oracle, found in self.found.items()}

    def repeat(self, k: int, direction: Array) -> None:
        """The second look at one of them."""
        if self.is_lost(k):
            self.enlarge_complex_step(k, direction)
        if self.is_off("complex-step", k):
            self.repeat_complex_step(k, direction)
        if self.is_off("central-difference", k) or self.is_coarse(k):
            self.repeat_differences(k, direction)
        self.set_aside_what_is_refuted(k)

    def leave_undecided(self, places: list[int]) -> None:
        """Where an oracle stands against the claim and no second look is taken, none of them decides."""
        for k in places:
            if any(self.is_off(oracle, k) for oracle in self.found):
                for found in self.found.values():
                    found.uncertainty[0, k] = np.inf

    def in_doubt(self) -> list[int]:
        """The places of the entries to look at, those with the smallest errors first: they are most likely to be rounding."""
        largest = np.max([self.off(oracle) for oracle in self.found], axis=0, initial=0)  # (directions,)
        unknown = np.array([self.is_coarse(k) or self.is_lost(k) for k in range(len(self.directions))], bool)
        places = np.flatnonzero((largest > 0) | unknown)
        return [int(k) for k in places[np.argsort(largest[places], kind="stable")]]

    def off(self, oracle: str) -> Array:
        """How far the claim is from what the oracle says, where that is beyond what it allows; else 0. (directions,)"""
        found = self.found[oracle]
        with np.errstate(invalid="ignore"):
            distance = np.abs(self.claimed - found.derivative[0])
            return np.where(distance > self.rounding + found.uncertainty[0], distance, 0)

    def is_off(self, oracle: str, k: int) -> bool:
        return oracle in self.found and bool(self.off(oracle)[k] > 0)

    def stays_wrong(self, k: int) -> bool:
        """Whether the claim is still wrong by an exact oracle, or by differences where there is none."""
        exact = [oracle for oracle in EXACT_ORACLES if oracle in self.found]
        return any(self.is_off(oracle, k) for oracle in exact or ["central-difference"])

    def is_coarse(self, k: int) -> bool:
        """Whether differences alone know the entry, and not well."""
        if any(np.isfinite(self.found[oracle].uncertainty[0, k]) for oracle in EXACT_ORACLES if oracle in self.found):
            return False
        found = self.found.get("central-difference")
        return found is not None and bool(found.uncertainty[0, k] > COARSE * abs(found.derivative[0, k]))

    def is_lost(self, k: int) -> bool:
        """Whether the claim is so small that the complex step loses it below the smallest number."""
        lost = self.found["complex-step"].uncertainty[0, k] if "complex-step" in self.found else 0.0
        return bool(0 < abs(self.claimed[k]) * COARSE < lost < np.inf)

    def enlarge_complex_step(self, k: int, direction: Array) -> None:
        """Puts a complex step as large as it may be in the place of one that was too small."""
        found = self.found["complex-step"]
        factors = LARGEST_STEP / 2, LARGEST_STEP
        larger, largest = (self.derive.complex_steps(self.tensor, [direction], no_progress, factor) for factor in factors)
        scatter = SCATTER * abs(largest.derivative[0, 0] - larger.derivative[0, 0])
        found.derivative[0, k], found.uncertainty[0, k] = largest.derivative[0, 0], larger.uncertainty[0, 0] + scatter

    def repeat_complex_step(self, k: int, direction: Array) -> None:
        """Adds to the uncertainty of the complex step how far it scatters, with its step and with rounding inside the cost."""
        found = self.found["complex-step"]
        value, uncertainty = found.derivative[0, k], found.uncertainty[0]
        others = [
            self.derive.complex_steps(self.tensor, [direction], no_progress, factor).derivative[0, 0] for factor in OTHER_STEPS
        ]
        scatter = np.abs(others - value).max()
        if scatter < CERTAIN * abs(value):  # else the slope is infinite here, or lost, which says nothing of other entries
            self.scatter = max(self.scatter, scatter)
        uncertainty[k] += SCATTER * scatter
        if self.is_off("complex-step", k):
            draws = self.derive.noisy_complex_steps(self.tensor, direction, DRAWS)
            uncertainty[k] += SAFETY * np.abs(draws - value).max()
        if not np.isfinite(uncertainty[k]):
            uncertainty[k] = np.inf

    def allow_for_scatter(self) -> None:
        """Where complex steps scatter, as with functions whose complex results are less exact, they do so everywhere."""
        if "complex-step" in self.found:
            uncertainty = self.found["complex-step"].uncertainty
            np.maximum(uncertainty, SCATTER * self.scatter, out=uncertainty)

    def repeat_differences(self, k: int, direction: Array) -> None:
        """Puts a sweep of differences in the place of one."""
        careful = self.derive.estimate_of(self.tensor, [self.derive.carefully(self.tensor, direction)])
        put_entry(self.found["central-difference"], k, careful)

    def set_aside_what_is_refuted(self, k: int) -> None:
        """Sets an exact oracle aside where sharp differences confirm the claim against it."""
        differences = self.found.get("central-difference")
        if differences is None or not np.isfinite(differences.uncertainty[0, k]) or self.is_off("central-difference", k):
            return
        allowed = self.rounding[k] + differences.uncertainty[0, k]
        for oracle in EXACT_ORACLES:
            if oracle in self.found and SHARPER * allowed <= self.off(oracle)[k]:
                self.found[oracle].uncertainty[0, k] = np.inf
                self.refuted[oracle] = self.refuted.get(oracle, 0) + 1


class Entries(Sequence[Array]):
    """The directions of the entries `flat`, flat indices of a tensor, each made when it is asked for."""

    def __init__(self, derive: PairOracles, tensor: str, flat: Array) -> None:
        self.derive, self.tensor, self.flat = derive, tensor, flat

    def __len__(self) -> int:
        return len(self.flat)

    def __getitem__(self, k: Any) -> Any:
        return self.derive.unit(self.tensor, self.flat[k])


def with_own_arrays(estimate: Estimate) -> Estimate:
    """A copy whose arrays may be written to, with one-sided derivatives that are not numbers where there is no tie."""
    derivative, uncertainty, crossed, tie = estimate
    nothing = np.full(derivative.shape, np.nan)
    tie = OneSided(nothing, nothing.copy(), nothing.copy()) if tie is None else OneSided(*map(np.copy, tie))
    return Estimate(derivative.copy(), uncertainty.copy(), crossed.copy(), tie)


def put_entry(found: Estimate, k: int, one: Estimate) -> None:
    """Writes what `one`, an Estimate of a single entry, says into place k."""
    assert found.tie is not None
    found.derivative[0, k], found.uncertainty[0, k], found.crossed[k] = (
        one.derivative[0, 0],
        one.uncertainty[0, 0],
        one.crossed[0],
    )
    for side, its in zip(found.tie, one.tie or (np.full((1, 1), np.nan),) * 3, strict=True):
        side[0, k] = its[0, 0]


def without_empty_tie(found: Estimate) -> Estimate:
    """The Estimate with None for one-sided derivatives where it has none at all."""
    return found if found.tie is not None and np.isfinite(found.tie.left).any() else found._replace(tie=None)
