"""A pair of cost and gradient as the subject of a check, where nothing is known of what is inside.

The cost is called again for every entry: by the complex step where it takes complex input, which is tried first, and by
central differences with a step that each tensor gets for itself. Where all entries would take longer than the budget, a
random sample of them is looked at, and random directions over blocks of the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import SIGMAS, Estimate
from gradcheck.derivations.sweep import quotient_errors
from gradcheck.derivations.truth import Truth
from gradcheck.diagnosis.counterfactuals import Counterfactuals
from gradcheck.diagnosis.operations import Run
from gradcheck.diagnosis.pair_patterns import diagnose_pair
from gradcheck.faults import gradient_or_nan, misshapen
from gradcheck.subject import ENTRYWISE, Advance, Case, no_progress
from gradcheck.subjects.first_calls import first_answers
from gradcheck.subjects.pair import Calls
from gradcheck.subjects.pair_oracles import PairOracles
from gradcheck.subjects.pair_rounding import rounding_of_pair
from gradcheck.subjects.pair_walk import PairWalk
from gradcheck.subjects.sampling import draw_sample
from gradcheck.subjects.second_look import Entries, SecondLook

# What a check draws comes from this stream of its seed, so that a caller may draw from others.
STREAM = 7

# Seconds that the oracles may take before entries are sampled.
BUDGET = 20.0


# Complex steps that scatter by more than this share of the derivatives are worth a note.
INEXACT = 1e-12


class PairSubject:
    """A `gradcheck.subject.Subject`: the pair of `calls`. `seed` draws samples and directions, `budget` is in seconds."""

    switched, of_twins = False, False

    def __init__(self, name: str, calls: Calls, seed: int = 0, budget: float = BUDGET) -> None:
        self.name, self.calls, self.dtype = name, calls, calls.dtype
        self.parameters = calls.parameters
        self.notes: list[str] = []
        self.rng = np.random.default_rng([seed, STREAM])
        self.derive = PairOracles(calls, self.rng, self.notes)
        self.tied: dict[str, Array] = {}
        available = calls.has_reference, self.derive.takes_complex, True
        if self.derive.still:
            names = " or ".join(self.parameters)
            self.notes.append(f"the cost does not depend on {names}: does it use the parameters that it is given?")
        self.oracles = tuple(oracle for oracle, is_there in zip(ENTRYWISE, available, strict=True) if is_there)
        if calls.pair.reference is not None and not calls.has_reference:
            self.notes.append("NO AUTOGRAD: PyTorch is not installed; the reference is not asked")
        sizes = {name: array.size for name, array in self.parameters.items()}
        self.sample = draw_sample(sizes, int(budget / max(self.derive.seconds, 1e-9)), seed)
        if self.sample.size < sum(sizes.values()):
            self.notes.append(self._what_is_sampled(sum(sizes.values()), seed, budget))

    def _what_is_sampled(self, total: int, seed: int, budget: float) -> str:
        slow = " and ".join(oracle for oracle in self.oracles if oracle != "autograd")
        along = f", and along {self.sample.blocks} random directions in each tensor sampled"
        return (
            f"A SAMPLE: {slow} at {self.sample.size:,} of {total:,} entries, drawn with seed {seed}"
            f"{'' if 'autograd' in self.oracles else along}; all would take about {total * self.derive.seconds:.0f} s, "
            f"the budget is {budget:g} s"
        )

    def evaluate(self) -> tuple[list[Case], list[str]]:
        first = first_answers(self.calls)
        self.notes += first.notes
        claimed = {tensor: gradient_or_nan(first.gradients, tensor, array.shape) for tensor, array in self.parameters.items()}
        reference, forward = None, None
        if "autograd" in self.oracles:
            reference = self.calls.reference(self.parameters, "float64")
            forward = {"cost": reference.pop("cost")}
        rounding = rounding_of_pair(self.calls, list(misshapen(first.gradients, self.parameters)), self.notes, self.scale)
        rounding["cost"] = rounding.get("cost", np.zeros(())) + SIGMAS * self.derive.cost.noise
        self.claimed_and_rounding = {tensor: (claimed[tensor], rounding[tensor]) for tensor in claimed}
        return [Case(claimed, reference, {"cost": self.derive.cost.base}, forward, rounding)], list(first.faults)

    def entries(self, tensor: str) -> Array:
        return np.arange(self.parameters[tensor].size) if "autograd" in self.oracles else self.sample.entries[tensor]

    def estimate(self, oracle: str, tensor: str, entries: Array, advance: Advance) -> Estimate:
        looked_at = self.sample.entries[tensor]
        units = (self.derive.unit(tensor, entry) for entry in looked_at)
        if oracle == "complex-step":
            found = self.derive.complex_steps(tensor, units, advance)
        else:
            found = self.derive.central_differences(tensor, units, advance)
        if len(looked_at) == len(entries):
            return found
        where = np.searchsorted(entries, looked_at)
        spread = Estimate(np.zeros((1, len(entries))), np.full((1, len(entries)), np.inf), np.zeros(len(entries), bool))
        for all_entries, own in zip(spread[:3], found[:3], strict=True):
            all_entries[..., where] = own
        return spread

    def second_look(self, tensor: str, entries: Array, estimates: dict[str, Estimate]) -> dict[str, Estimate]:
        if self.derive.still:
            return {oracle: unknown(found) for oracle, found in estimates.items()}
        claimed, rounding = (np.ravel(each)[entries] for each in self.claimed_and_rounding[tensor])
        look = SecondLook(self.derive, tensor, Entries(self.derive, tensor, entries), claimed, rounding, estimates)
        found = look.look()
        if (tie := found["central-difference"].tie if "central-difference" in found else None) is not None:
            self.tied[tensor] = np.zeros(self.parameters[tensor].shape, bool)
            self.tied[tensor].flat[entries] = np.isfinite(tie.left[0])
        for oracle, count in look.refuted.items():
            self.notes.append(
                f"NOT EXACT: central differences refute {oracle} at {count:,} entries of {tensor}, and confirm the claim"
            )
        if look.scatter and look.scatter > INEXACT * np.abs(found["complex-step"].derivative).max():
            self.notes.append(f"NOT EXACT: by {tensor}, complex steps of different lengths differ by {look.scatter:.0e}")
        return found

    def walk(self, verified: Sequence[str], tolerance: Mapping[str, float]) -> list[str]:
        claimed, rounding = ({k: each[place] for k, each in self.claimed_and_rounding.items()} for place in (0, 1))
        walk = PairWalk(self.calls, self.derive, partial(rounding_of_pair, self.calls, [], [], self.scale), self.rng)
        self.notes += walk.ties_together(self.tied, claimed, rounding)
        return walk.beside(verified, tolerance)

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
        first = {oracle: derive(tensor, shaped, no_progress)}
        found = SecondLook(self.derive, tensor, list(shaped), along, rounding_along, first).look()[oracle]
        return unknown(found) if self.derive.still else found

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
        if not self.derive.takes_complex:
            return diagnose_pair(cases[0], truth, self.parameters, failing)
        with self.calls.complex_allowed():
            return diagnose_pair(cases[0], truth, self.parameters, failing, Counterfactuals(self._cost_in_run))

    def _cost_in_run(self, tensor: str, direction: Array, step: complex, run: Run) -> complex:
        """The cost, with its operations in `run`."""
        moved = self.derive.cost.moved(tensor, direction, step)
        if not self.calls.in_torch:
            return self.calls.cost_of({name: run.array(array) for name, array in moved.items()})
        from gradcheck.diagnosis.torch_operations import OperationsMode

        with OperationsMode(run):
            return self.calls.cost(moved)


def unknown(found: Estimate) -> Estimate:
    """The Estimate of a derivative of which nothing is known after all."""
    return found._replace(uncertainty=np.full_like(found.uncertainty, np.inf))
