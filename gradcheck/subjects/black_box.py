"""A pair of cost and gradient as the subject of a check, where nothing is known of what is inside.

The cost is called again for every entry: by the complex step where it takes complex input, which is tried first, and by
central differences with a step that each tensor gets for itself. Where all entries would take longer than the budget, a
random sample of them is looked at, and random directions over blocks of the rest.
"""

from collections.abc import Callable
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
from gradcheck.rounding.draws import DRAWS, SAFETY
from gradcheck.subject import ENTRYWISE, Advance, Case, no_progress
from gradcheck.subjects.first_calls import first_answers
from gradcheck.subjects.pair import Calls
from gradcheck.subjects.pair_oracles import PairOracles
from gradcheck.subjects.pair_rounding import rounding_of_pair
from gradcheck.subjects.sampling import draw_sample

# What a check draws comes from this stream of its seed, so that a caller may draw from others.
STREAM = 7

# Seconds that the oracles may take before entries are sampled.
BUDGET = 20.0

# A claim and a complex step that differ by more than this share of the derivatives do not differ by rounding; and at so many
# entries at most is it looked at; where it explains nothing at the first few, there alone.
NOT_ROUNDING, MOST_DOUBTFUL, SOON = 1e-2, 500, 5


class PairSubject:
    """A `gradcheck.subject.Subject`: the pair of `calls`. `seed` draws samples and directions, `budget` is in seconds."""

    switched = False

    def __init__(self, name: str, calls: Calls, seed: int = 0, budget: float = BUDGET) -> None:
        self.name, self.calls, self.dtype = name, calls, calls.dtype
        self.parameters = calls.parameters
        self.notes: list[str] = []
        self.rng = np.random.default_rng([seed, STREAM])
        self.derive = PairOracles(calls, self.rng, self.notes)
        available = calls.has_reference, self.derive.takes_complex, True
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
        rounding = rounding_of_pair(self.calls, list(misshapen(first.gradients, self.parameters)), self.notes)
        rounding["cost"] = rounding.get("cost", np.zeros(())) + SIGMAS * self.derive.cost.noise
        self.claimed_and_rounding = {tensor: (claimed[tensor], rounding[tensor]) for tensor in claimed}
        return [Case(claimed, reference, {"cost": self.derive.cost.base}, forward, rounding)], list(first.faults)

    def entries(self, tensor: str) -> Array:
        return np.arange(self.parameters[tensor].size) if "autograd" in self.oracles else self.sample.entries[tensor]

    def estimate(self, oracle: str, tensor: str, entries: Array, advance: Advance) -> Estimate:
        looked_at = self.sample.entries[tensor]
        units = (self.derive.unit(tensor, entry) for entry in looked_at)
        if oracle == "complex-step":
            found = self._with_rounding_of_cost(tensor, looked_at, self.derive.complex_steps(tensor, units, advance))
        else:
            found = self.derive.central_differences(tensor, units, advance)
        if len(looked_at) == len(entries):
            return found
        where = np.searchsorted(entries, looked_at)
        spread = Estimate(np.zeros((1, len(entries))), np.full((1, len(entries)), np.inf), np.zeros(len(entries), bool))
        for all_entries, own in zip(spread[:3], found[:3], strict=True):
            all_entries[..., where] = own
        return spread

    def _with_rounding_of_cost(self, tensor: str, looked_at: Array, found: Estimate) -> Estimate:
        """The complex steps with what rounding inside the cost does to them, where that could be why the claim differs.

        A cost may round worse than its gradient: log(1 - p) does near p = 1. What differs by more is no rounding.
        """
        claimed, rounding = (np.ravel(each)[looked_at] for each in self.claimed_and_rounding[tensor])
        derivative, uncertainty = found.derivative[0], found.uncertainty[0].copy()
        with np.errstate(invalid="ignore"):
            error = np.abs(claimed - derivative)
            doubtful = (error > rounding) & (error <= NOT_ROUNDING * np.maximum(np.abs(claimed), np.abs(derivative)).max())
        for count, k in enumerate(np.flatnonzero(doubtful)[:MOST_DOUBTFUL], start=1):
            draws = self.derive.noisy_complex_steps(tensor, looked_at[k], DRAWS)
            uncertainty[k] = SAFETY * np.abs(draws - derivative[k]).max()
            if count == SOON and not (error <= rounding + uncertainty)[doubtful].any():
                break  # it is no rounding
        return found._replace(uncertainty=uncertainty[None])

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
        derive = self.derive.complex_steps if self.derive.takes_complex else self.derive.central_differences
        return derive(tensor, directions.reshape(-1, *self.parameters[tensor].shape), no_progress)

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
        return diagnose_pair(cases[0], truth, self.parameters, failing, Counterfactuals(self._cost_in_run))

    def _cost_in_run(self, tensor: str, direction: Array, step: complex, run: Run) -> complex:
        """The cost, with its operations in `run`."""
        moved = self.derive.cost.moved(tensor, direction, step)
        if not self.calls.in_torch:
            return self.calls.cost({name: run.array(array) for name, array in moved.items()})
        from gradcheck.diagnosis.torch_operations import OperationsMode

        with OperationsMode(run):
            return self.calls.cost(moved)
