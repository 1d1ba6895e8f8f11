"""A pair of cost and gradient as the subject of a check, where nothing is known of what is inside.

The cost is called again for every entry: by the complex step where it takes complex input, which is tried first, and by
central differences with a step that each tensor gets for itself. Where all entries would take longer than the budget, a
random sample of them is looked at, and random directions over blocks of the rest.
"""

import time
import warnings
import zlib

import numpy as np

from gradcheck.derivations.differences import LADDER, NO_TIE, Differences
from gradcheck.derivations.estimate import COMPLEX_STEP, EPS, SIGMAS, Estimate, Tie, exactly
from gradcheck.derivations.sweep import quotients
from gradcheck.diagnosis.patterns import diagnose_pair
from gradcheck.errors import UserError
from gradcheck.faults import changed_between_calls, gradient_or_nan, misshapen, raised
from gradcheck.rounding.draws import DRAWS, SAFETY
from gradcheck.rounding.numpy_noise import rounding_uncertainty_of_numpy
from gradcheck.subject import ENTRYWISE, Case
from gradcheck.subjects.pair_cost import Cost

# What a check draws comes from this stream of its seed. The checkout's other streams are in `random_streams.py`.
STREAM = 7

# Seconds that the oracles may take before entries are sampled.
BUDGET = 20.0

# A tensor takes the median of the best steps at this many entries.
TRIED = 3

# Random directions over blocks of a tensor of which only a sample of entries is looked at: at least and at most.
BLOCKS = 4, 32

# Hand and a complex step that differ by more than this share of the derivatives do not differ by rounding; and at so many
# entries at most is it looked at; where it explains nothing at the first few, there alone.
NOT_ROUNDING, MOST_DOUBTFUL, SOON = 1e-2, 500, 5

# What a tensor gets of a sample at least.
SMALLEST_SAMPLE = 10


class PairSubject:
    """See `gradcheck/check.py`. `calls` is a `Calls`."""

    switched = False

    def __init__(self, name, calls, seed=0, budget=BUDGET):
        self.name, self.calls, self.dtype, self.parameters = name, calls, calls.dtype, calls.parameters
        self.rng = np.random.default_rng([seed, STREAM])
        self.notes = []
        self.cost = Cost(calls, self.rng, self.notes)
        self.differences = Differences(self.cost.base, self.cost.noise, self.cost.in_steps)
        has_reference = calls.pair.reference is not None
        takes_complex, complex_seconds = self.try_complex()
        self.oracles = [oracle for oracle, has in zip(ENTRYWISE, (has_reference, takes_complex, True), strict=True) if has]
        self.steps, self.kinked, self.blocks = {}, set(), BLOCKS[0]
        self.sample = self.draw_sample(3 * self.cost.seconds + complex_seconds, budget, seed)

    def try_complex(self):
        """Whether the complex step can be trusted: it answers, and as central differences do along a direction in each tensor.

        `abs`, `norm` and `var` take a modulus and lose the derivative; a float buffer drops the imaginary part. Where it
        can't, a note says so. Returns the seconds that a call takes as well.
        """
        try:
            with warnings.catch_warnings():
                # Both NumPy and PyTorch only warn of it.
                warnings.filterwarnings("error", message="Casting complex values to real discards the imaginary part")
                self.calls.watched_cost({name: array.astype(complex) for name, array in self.parameters.items()})
                for tensor, array in self.parameters.items():
                    direction = self.rng.standard_normal(array.shape)
                    started = time.perf_counter()
                    derivative, real = self.complex_derivative(tensor, direction)
                    seconds = time.perf_counter() - started
                    if not abs(real - self.cost.base) <= 100 * self.cost.noise:
                        raise UserError(f"cost returns {real:.6g} instead of {self.cost.base:.6g}")
                    if not self.confirmed(tensor, direction, derivative):
                        raise UserError(f"cost loses the derivative by {tensor}, as abs, norm, var and float arrays do")
        except UserError as error:
            self.notes.append(f"NO COMPLEX STEP: for complex parameters, {error}; central differences stand in for it")
            return False, 0.0
        return True, seconds

    def complex_derivative(self, tensor, direction):
        """The derivative along `direction` in one tensor by the complex step, and the real part of the cost."""
        cost = self.calls.cost(self.cost.moved(tensor, direction, 1j * COMPLEX_STEP))
        if not isinstance(cost, complex):
            raise UserError("cost returns a real number")
        return cost.imag / COMPLEX_STEP, cost.real

    def confirmed(self, tensor, direction, derivative):
        """Whether the most certain central difference along the direction agrees with `derivative`."""
        found = self.differences.best(self.cost.along(tensor, direction), LADDER * self.cost.size(tensor))
        return abs(found.derivative - derivative) <= 10 * found.uncertainty + 1e-8 * abs(derivative)

    def draw_sample(self, seconds_an_entry, budget, seed):
        """The flat indices that the slow oracles look at, by tensor; with a note where that is not all."""
        sizes = {name: array.size for name, array in self.parameters.items()}
        total, affordable = sum(sizes.values()), int(budget / max(seconds_an_entry, 1e-9))
        if total <= affordable:
            return {name: np.arange(size) for name, size in sizes.items()}
        # A power of two, the first of a fixed order: a run that is a little slower draws the same sample.
        share = 2 ** int(np.log2(max(affordable, 1)))
        self.blocks = min(max(share // (2 * len(sizes)), BLOCKS[0]), BLOCKS[1])
        left, chosen = len(sizes), {}
        for name, size in sorted(sizes.items(), key=lambda item: item[1]):
            count = min(size, max(SMALLEST_SAMPLE, share // left))
            order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(size)
            chosen[name] = np.sort(order[:count])
            share, left = max(share - count, 0), left - 1
        slow = [oracle for oracle in self.oracles if oracle != "autograd"]
        blocks = "" if "autograd" in self.oracles else f", and along {self.blocks} random directions in each tensor sampled"
        self.notes.append(
            f"A SAMPLE: {' and '.join(slow)} at {sum(map(len, chosen.values())):,} of {total:,} entries, drawn with seed {seed}"
            f"{blocks}; all would take about {total * seconds_an_entry:.0f} s, the budget is {budget:g} s"
        )
        return chosen

    def evaluate(self):
        try:
            found = self.calls.claimed()
            broken = list(misshapen(found, self.parameters)) or list(changed_between_calls(found, self.calls.claimed()))
        except UserError:
            raise
        except Exception as error:
            found, broken = {}, [f"the backward pass raised {raised(error)}"]
        broken += [f"the check may only read {name}, which changed" for name in sorted(self.calls.changed_by_gradients)]
        claimed = {tensor: gradient_or_nan(found, tensor, array.shape) for tensor, array in self.parameters.items()}
        reference, forward = None, None
        if "autograd" in self.oracles:
            reference = self.calls.reference(self.parameters, "float64")
            forward = {"cost": reference.pop("cost")}
        with np.errstate(invalid="ignore"):  # where the gradient is infinite, which fails it
            rounding = self.rounding(broken)
        self.claimed_and_rounding = {tensor: (claimed[tensor], rounding[tensor]) for tensor in claimed}
        return [Case(claimed, reference, {"cost": self.cost.base}, forward, rounding)], self.cost.faults + broken

    def rounding(self, broken):
        """What rounding may change in each entry of the gradient, and in the cost.

        Measured on the reference if there is one, so that a backward which loses digits shows; else on the backward itself.
        Nothing is known, and a note says so, where that raises beside the parameters.
        """
        try:
            found = self.rounding_of_gradient(broken)
        except Exception as error:
            whose = "reference" if "autograd" in self.oracles else "backward pass"
            self.notes.append(f"ROUNDING UNKNOWN: beside the parameters the {whose} raised {raised(error)}")
            found = {name: np.full(array.shape, np.inf) for name, array in self.parameters.items()}
        return found | {"cost": found.get("cost", 0) + SIGMAS * self.cost.noise}

    def rounding_of_gradient(self, broken):
        calls, inputs = self.calls, self.parameters
        if "autograd" in self.oracles or calls.in_torch:
            from gradcheck.rounding.torch_noise import rounding_uncertainty
        if "autograd" in self.oracles:
            return rounding_uncertainty(lambda p: calls.reference(p, self.dtype), inputs, self.dtype)
        if broken:
            return {name: np.zeros(array.shape) for name, array in inputs.items()}
        if calls.in_torch:
            return rounding_uncertainty(lambda p: calls.claimed(p, self.dtype), inputs, self.dtype)
        return rounding_uncertainty_of_numpy(calls.claimed, inputs, self.dtype, self.note_plain_arrays)

    def note_plain_arrays(self, error):
        why = f"on arrays that round at random the backward pass raised {raised(error)}"
        self.notes.append(f"ROUNDING OF THE PARAMETERS ALONE: {why}")

    def entries(self, tensor):
        return np.arange(self.parameters[tensor].size) if "autograd" in self.oracles else self.sample[tensor]

    def estimate(self, oracle, tensor, entries, advance):
        looked_at = self.sample[tensor]
        along = self.complex_steps if oracle == "complex-step" else self.central_differences
        found = along(tensor, (self.unit(tensor, entry) for entry in looked_at), advance)
        if oracle == "complex-step":
            found = self.with_rounding_of_cost(tensor, looked_at, found)
        if len(looked_at) == len(entries):
            return found
        where = np.searchsorted(entries, looked_at)
        spread = Estimate(np.zeros((1, len(entries))), np.full((1, len(entries)), np.inf), np.zeros(len(entries), bool))
        for all_entries, own in zip(spread[:3], found[:3], strict=True):
            all_entries[..., where] = own
        return spread

    def unit(self, tensor, entry):
        """The direction of one entry."""
        direction = np.zeros(self.parameters[tensor].shape)
        direction.flat[entry] = 1.0
        return direction

    def complex_steps(self, tensor, directions, advance):
        found = []
        for direction in directions:
            found.append(self.complex_derivative(tensor, direction)[0])
            advance(1)
        return exactly(np.array([found]))  # (1, entries)

    def with_rounding_of_cost(self, tensor, looked_at, found):
        """The complex steps with what rounding inside the cost does to them, where that could be why claimed is another.

        A cost may round worse than its gradient: log(1 - p) does near p = 1. What differs by more is no rounding.
        """
        claimed, rounding = (np.ravel(each)[looked_at] for each in self.claimed_and_rounding[tensor])
        derivative, uncertainty = found.derivative[0], found.uncertainty[0].copy()
        with np.errstate(invalid="ignore"):
            apart = np.abs(claimed - derivative)
            doubtful = (apart > rounding) & (apart <= NOT_ROUNDING * np.maximum(np.abs(claimed), np.abs(derivative)).max())
        for count, k in enumerate(np.flatnonzero(doubtful)[:MOST_DOUBTFUL], start=1):
            moved = self.cost.moved(tensor, self.unit(tensor, looked_at[k]), 1j * COMPLEX_STEP)
            draws = [np.imag(self.calls.noisy_cost(moved, self.rng)) / COMPLEX_STEP for _ in range(DRAWS)]
            uncertainty[k] = SAFETY * np.abs(np.array(draws) - derivative[k]).max()
            if count == SOON and not (apart <= rounding + uncertainty)[doubtful].any():
                break  # it is no rounding
        return found._replace(uncertainty=uncertainty[None])

    def central_differences(self, tensor, directions, advance):
        """Central differences along directions, with the tensor's step, or a smaller one where that is too rough."""
        rows = []
        for direction in directions:
            found = self.differences.settled(self.cost.along(tensor, direction), self.step(tensor, direction))
            left, right = found[-3:-1]
            if "complex-step" in self.oracles and np.isfinite(left) and not self.tied(tensor, direction, left, right):
                found = *found[:3], *NO_TIE
            rows.append(found)
            advance(1)
        derivative, uncertainty, crossed, left, right, slack = np.array(rows).T[:, None, :]  # each (1, entries)
        if crossed.any():
            self.kinked.add(tensor)
        tie = Tie(left, right, slack) if np.isfinite(left).any() else None
        return Estimate(derivative, uncertainty, crossed[0] > 0, tie)

    def tied(self, tensor, direction, left, right):
        """Whether the complex step jumps as the one-sided derivatives do, within a few units in the last place.

        Differences can't tell a kink at the parameters from one that is nearer than their steps.
        """
        units = 4 * EPS * (np.abs(self.parameters[tensor]).max() or 1.0) / np.abs(direction).max()
        beside = (self.cost.moved(tensor, direction, sign * units + 1j * COMPLEX_STEP) for sign in (-1, 1))
        before, after = (np.imag(self.calls.cost(arrays)) / COMPLEX_STEP for arrays in beside)
        return abs(after - before) > abs(right - left) / 2

    def step(self, tensor, direction):
        """The step of the smallest error at a few random entries of the tensor."""
        if tensor not in self.steps:
            tried = self.rng.integers(self.parameters[tensor].size, size=TRIED)
            costs = [self.cost.along(tensor, self.unit(tensor, entry)) for entry in tried]
            steps = LADDER * self.cost.size(tensor)
            self.steps[tensor] = np.median([self.differences.best(cost, steps).step for cost in costs])
        return self.steps[tensor] / np.abs(direction).max()

    def directions(self, tensor):
        size = self.parameters[tensor].size
        if len(self.entries(tensor)) == size:
            return None
        blocks = np.array_split(self.rng.permutation(size), min(self.blocks, size))
        directions = np.zeros((len(blocks), size))
        for direction, block in zip(directions, blocks, strict=True):
            direction[block] = self.rng.choice([-1.0, 1.0], len(block)) / np.sqrt(len(block))
        return directions

    def along(self, tensor, directions):
        along = self.complex_steps if "complex-step" in self.oracles else self.central_differences
        return along(tensor, directions.reshape(-1, *self.parameters[tensor].shape), lambda count: None)

    def taylor(self, tensor):
        def costs_along(direction, steps):
            costs = np.array([*map(self.cost.along(tensor, direction), steps)])
            # Only so far have the differences looked for kinks.
            return costs, np.full(len(steps), tensor in self.kinked) | (steps > self.step(tensor, direction))

        return costs_along, self.cost.noise

    def sweep(self, tensor, entry, exact):
        cost = self.cost.along(tensor, self.unit(tensor, entry))
        return quotients(cost, exact, "complex-step" in self.oracles)

    def diagnose(self, cases, truth, failing):
        right = {tensor: derivative[0] for tensor, (derivative, _) in truth.items()}
        uncertainty = {tensor: error for tensor, (_, error) in truth.items()}
        return diagnose_pair(cases[0], right, uncertainty, self.parameters, failing)
