"""A pair of cost and gradient as the subject of a check, where nothing is known of what is inside.

The cost is called again for every entry: by the complex step where it takes complex input, which is tried first, and by
central differences with a step that each tensor gets for itself. Where all entries would take longer than the budget, a
random sample of them is looked at, and random directions over blocks of the rest. When the time is over, the sample is what
was looked at.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import SIGMAS, Estimate, OneSided, unknown
from gradcheck.derivations.sweep import quotient_errors
from gradcheck.derivations.truth import Truth
from gradcheck.diagnosis.counterfactuals import Counterfactuals
from gradcheck.diagnosis.operations import Run
from gradcheck.diagnosis.pair_patterns import diagnose_pair
from gradcheck.errors import OutOfTime
from gradcheck.faults import counted, gradient_or_nan, misshapen
from gradcheck.subject import ENTRYWISE, Advance, Case, no_progress
from gradcheck.subjects.first_calls import first_answers
from gradcheck.subjects.pair import Calls
from gradcheck.subjects.pair_oracles import TRIED, PairOracles
from gradcheck.subjects.pair_rounding import rounding_of_pair
from gradcheck.subjects.pair_walk import PairWalk
from gradcheck.subjects.plan import BUDGET, duration
from gradcheck.subjects.sampling import Sample, draw_sample
from gradcheck.subjects.second_look import Entries, SecondLook

# What a check draws comes from this stream of its seed, so that a caller may draw from others.
STREAM = 7

# The first calls and the measurement of rounding may take this share of the budget, else the check is a quick one; with the
# entries it is so much. Directions, the Taylor test, and the likely bug have the rest.
FIRST_SHARE, ENTRIES_SHARE = 0.6, 0.8

# Complex steps that scatter by more than this share of the derivatives are worth a note.
INEXACT = 1e-12


class PairSubject:
    """A `gradcheck.subject.Subject`: the pair of `calls`. `seed` draws samples and directions, `budget` is in seconds.

    Raises OutOfTime where the budget is too small for what the check of any entry needs.
    """

    switched, of_twins = False, False

    def __init__(self, name: str, calls: Calls, seed: int = 0, budget: float = BUDGET) -> None:
        self.name, self.calls, self.dtype, self.seed = name, calls, calls.dtype, seed
        self.parameters = calls.parameters
        self.notes: list[str] = []
        calls.deadline = calls.started + FIRST_SHARE * budget
        self.rng = np.random.default_rng([seed, STREAM])
        self.derive = PairOracles(calls, self.rng, self.notes)
        self.tied: dict[str, Array] = {}
        self.still = False
        available = calls.has_reference, self.derive.takes_complex, True
        self.oracles = tuple(oracle for oracle, is_there in zip(ENTRYWISE, available, strict=True) if is_there)
        if calls.pair.reference is not None and not calls.has_reference:
            self.notes.append("NO AUTOGRAD: PyTorch is not installed; the reference is not asked")
        self.first = first_answers(calls)
        self.notes += self.first.notes
        self.rounding = rounding_of_pair(calls, list(misshapen(self.first.gradients, self.parameters)), self.notes, self.scale)
        calls.deadline = calls.started + budget
        self.entries_until = calls.started + ENTRIES_SHARE * budget
        self.waiting = {name: array.size for name, array in self.parameters.items()}  # entries of tensors not yet looked at
        self.answered: set[str] = set()  # tensors of which a slow oracle knows all that is in the sample
        self.sample = self._draw_sample(seed, budget)

    def _draw_sample(self, seed: int, budget: float) -> Sample:
        """The entries to look at: all, if a first look at them is affordable; else most of the time is for those in doubt."""
        self.seconds = self._seconds_of_an_entry(seed)
        each, left = max(self.seconds, 1e-9), self.entries_until - time.perf_counter()
        affordable = left / each
        if affordable < sum(self.waiting.values()):
            affordable /= 3
        sample = draw_sample(self.waiting, int(affordable), seed)
        if sample.size < sum(self.waiting.values()):
            self.notes.append(self._what_is_sampled(sample, sum(self.waiting.values()), seed, budget))
        return sample

    def _seconds_of_an_entry(self, seed: int) -> float:
        """What the slow oracles take for an entry, where they need no second look: the mean of a few random ones."""
        tried = np.random.default_rng([seed, STREAM, 1]).integers(sum(self.waiting.values()), size=TRIED)
        units = [self._unit_of_all(entry) for entry in tried]
        for tensor, unit in units:
            self.derive.step(tensor, unit)
        started = time.perf_counter()
        for tensor, unit in units:
            self.derive.central_differences(tensor, [unit], no_progress)
            if self.derive.takes_complex:
                self.derive.complex_steps(tensor, [unit], no_progress)
        return (time.perf_counter() - started) / TRIED

    def _unit_of_all(self, entry: int) -> tuple[str, Array]:
        """The tensor and the direction of an entry, where those of all tensors are counted."""
        ends = np.cumsum([array.size for array in self.parameters.values()])
        place = int(np.searchsorted(ends, entry, side="right"))
        tensor = [*self.parameters][place]
        return tensor, self.derive.unit(tensor, entry - (ends[place] - self.parameters[tensor].size))

    def _what_is_sampled(self, sample: Sample, total: int, seed: int, budget: float) -> str:
        slow = " and ".join(oracle for oracle in self.oracles if oracle != "autograd")
        along = f", and along {counted(sample.blocks, 'random direction')} in each tensor sampled"
        return (
            f"A SAMPLE: {slow} at {sample.size:,} of {counted(total, 'entry')}, drawn with seed {seed}"
            f"{'' if 'autograd' in self.oracles else along}; one takes {duration(self.seconds)}, all would take about "
            f"{duration(total * self.seconds)}, the budget is {budget:g} s"
        )

    def evaluate(self) -> tuple[list[Case], list[str]]:
        first = self.first
        claimed = {tensor: gradient_or_nan(first.gradients, tensor, array.shape) for tensor, array in self.parameters.items()}
        reference, forward = None, None
        if "autograd" in self.oracles:
            reference = self.calls.reference(self.parameters, "float64")
            forward = {"cost": reference.pop("cost")}
        rounding = dict(self.rounding)
        rounding["cost"] = rounding.get("cost", np.zeros(())) + SIGMAS * self.derive.cost.noise
        self.claimed_and_rounding = {tensor: (claimed[tensor], rounding[tensor]) for tensor in claimed}
        return [Case(claimed, reference, {"cost": self.derive.cost.base}, forward, rounding)], list(first.faults)

    def entries(self, tensor: str) -> Array:
        return np.arange(self.parameters[tensor].size) if "autograd" in self.oracles else self.sample.entries[tensor]

    def estimate(self, oracle: str, tensor: str, entries: Array, advance: Advance) -> Estimate:
        looked_at = self._in_random_order(self.sample.entries[tensor])
        derive = self.derive.complex_steps if oracle == "complex-step" else self.derive.central_differences
        try:
            found = derive(tensor, self._units_in_time(tensor, looked_at), advance)
        except OutOfTime:
            return nothing_of(len(entries))
        seen = looked_at[: found.derivative.shape[1]]
        if len(seen) < len(looked_at):
            self.notes.append(f"OUT OF TIME: {oracle} at {len(seen):,} of {counted(len(looked_at), 'entry')} of {tensor}")
            if tensor not in self.answered:
                self.sample.entries[tensor] = np.sort(seen)
        self.answered.add(tensor)
        return spread(found, np.searchsorted(entries, seen), len(entries))

    def _in_random_order(self, entries: Array) -> Array:
        """So that what is looked at before the time is over is a random sample too, and the same for the same seed."""
        return np.random.default_rng([self.seed, STREAM]).permutation(entries)

    def _units_in_time(self, tensor: str, entries: Array) -> Iterator[Array]:
        """The directions of these entries, until half of the tensor's share of the time is over; of one at least."""
        until = time.perf_counter() + self._share_of_time(tensor) / 2
        for place, entry in enumerate(entries):
            if place and time.perf_counter() > until:
                return
            yield self.derive.unit(tensor, entry)

    def _share_of_time(self, tensor: str) -> float:
        """The seconds that are left to a tensor, as it has of the entries not yet looked at."""
        left = self.entries_until - time.perf_counter()
        return left * self.waiting[tensor] / sum(self.waiting.values())

    def second_look(self, tensor: str, entries: Array, estimates: dict[str, Estimate]) -> dict[str, Estimate]:
        claimed, rounding = (np.ravel(each)[entries] for each in self.claimed_and_rounding[tensor])
        look = SecondLook(self.derive, tensor, Entries(self.derive, tensor, entries), claimed, rounding, estimates)
        with self.calls.within(self._share_of_time(tensor)):
            found = look.look()
        del self.waiting[tensor]
        if (tie := found["central-difference"].tie if "central-difference" in found else None) is not None:
            self.tied[tensor] = np.zeros(self.parameters[tensor].shape)
            self.tied[tensor].flat[entries] = np.nan_to_num(np.sign(tie.right[0] - tie.left[0]))  # which way the kink bends
        for oracle, count in look.refuted.items():
            where = f"{counted(count, 'entry')} of {tensor}"
            self.notes.append(f"NOT EXACT: central differences refute {oracle} at {where}, and confirm the claim")
        if look.scatter and look.scatter > INEXACT * np.abs(found["complex-step"].derivative).max():
            self.notes.append(f"NOT EXACT: by {tensor}, complex steps of different lengths differ by {look.scatter:.0e}")
        return found

    def depends(self, estimates: Mapping[str, Mapping[str, Estimate]]) -> bool:
        known = [found.derivative for of_tensor in estimates.values() for found in of_tensor.values()]
        self.still = self.derive.still or not (any(map(np.any, known)) or self.derive.moves(self.sample.entries))
        if self.still:
            names = " or ".join(self.parameters)
            self.notes.append(f"the cost does not depend on {names}: does it use the parameters that it is given?")
        return not self.still

    def walk(self, verified: Sequence[str], tolerance: Mapping[str, float]) -> list[str]:
        claimed, rounding = ({k: each[place] for k, each in self.claimed_and_rounding.items()} for place in (0, 1))
        walk = PairWalk(self.calls, self.derive, partial(rounding_of_pair, self.calls, [], [], self.scale), self.rng)
        try:
            self.notes += walk.ties_together(self.tied, claimed, rounding)
            faults = walk.beside(verified, tolerance)
            self.notes += walk.notes
            return faults
        except OutOfTime:
            self.notes.append("OUT OF TIME: it was not looked at beside the parameters")
            return []

    def scale(self, tensor: str) -> float:
        return self.derive.cost.scale / self.derive.cost.size(tensor)

    def directions(self, tensor: str) -> Array | None:
        size = self.parameters[tensor].size
        if len(self.entries(tensor)) == size:
            return None
        blocks = np.array_split(self.rng.permutation(size), min(self.sample.blocks, size))
        directions = np.zeros((len(blocks), size))
        for direction, block in zip(directions, blocks, strict=True):
            direction[block] = self.rng.choice([-1.0, 1.0], len(block)) / np.sqrt(len(block))
        return directions

    def along(self, tensor: str, directions: Array) -> Estimate:
        oracle = "complex-step" if self.derive.takes_complex else "central-difference"
        derive = self.derive.complex_steps if self.derive.takes_complex else self.derive.central_differences
        shaped = directions.reshape(-1, *self.parameters[tensor].shape)
        claimed, rounding = (np.ravel(each) for each in self.claimed_and_rounding[tensor])
        along, rounding_along = directions @ claimed, np.sqrt(directions**2 @ rounding**2)  # (D,) each
        try:
            first = {oracle: derive(tensor, shaped, no_progress)}
        except OutOfTime:
            return nothing_of(len(directions))
        found = SecondLook(self.derive, tensor, list(shaped), along, rounding_along, first).look()[oracle]
        return unknown(found) if self.still else found

    def taylor(self, tensor: str) -> tuple[Callable[[Array, Array], tuple[Array, Array]], float]:
        derive = self.derive

        def costs_along(direction: Array, steps: Array) -> tuple[Array, Array]:
            costs = np.array([*map(derive.cost.along(tensor, direction), steps)])
            # Only so far have the differences looked for kinks.
            return costs, np.full(len(steps), tensor in derive.kinked) | (steps > derive.step(tensor, direction))

        return costs_along, derive.cost.noise

    def sweep(self, tensor: str, entry: int, exact: float) -> dict[str, Any]:
        cost = self.derive.cost.along(tensor, self.derive.unit(tensor, entry))
        return quotient_errors(cost, exact, self.derive.takes_complex)

    def diagnose(self, cases: list[Case], truth: dict[str, Truth], failing: list[str]) -> dict[str, str | None]:
        if not self.derive.takes_complex or time.perf_counter() > self.calls.deadline:
            return diagnose_pair(cases[0], truth, self.parameters, failing)
        with self.calls.complex_allowed():
            return diagnose_pair(cases[0], truth, self.parameters, failing, Counterfactuals(self._cost_in_run))

    def _cost_in_run(self, tensor: str, direction: Array, step: complex, run: Run) -> complex:
        """The cost, with its operations in `run`. Raises TimeoutError where the time is over."""
        try:
            return self._cost_of_run(self.derive.cost.moved(tensor, direction, step), run)
        except OutOfTime as over:
            raise TimeoutError from over

    def _cost_of_run(self, moved: dict[str, Array], run: Run) -> complex:
        if not self.calls.in_torch:
            return self.calls.cost_of({name: run.array(array) for name, array in moved.items()})
        from gradcheck.diagnosis.torch_operations import OperationsMode

        with OperationsMode(run):
            return self.calls.cost(moved)


def nothing_of(entries: int) -> Estimate:
    """The Estimate of an oracle that was not asked at any of so many entries."""
    return Estimate(np.full((1, entries), np.nan), np.full((1, entries), np.inf), np.zeros(entries, bool))


def spread(found: Estimate, places: Array, entries: int) -> Estimate:
    """An Estimate of so many entries, of which those at `places` are known."""
    everywhere = nothing_of(entries)
    for all_entries, own in zip(everywhere[:3], found[:3], strict=True):
        all_entries[..., places] = own
    if found.tie is None:
        return everywhere
    tie = OneSided(*np.full((3, 1, entries), np.nan))
    for all_entries, own in zip(tie, found.tie, strict=True):
        all_entries[..., places] = own
    return everywhere._replace(tie=tie)
