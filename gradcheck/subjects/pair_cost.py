"""A pair's cost near its parameters: its value, how far rounding may move it, and what it is a step further."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import EPS
from gradcheck.errors import UserError
from gradcheck.subjects.first_calls import first_answers
from gradcheck.subjects.pair import Calls

# How the note on points that cost refuses begins.
LEFT_OUT = "POINTS LEFT OUT"


class Cost:
    """`base` is the cost at the parameters of `calls`, a `Calls`; `noise` its rounding error; `in_steps` says that the error is
    large, as of float32; `seconds` is what a call takes. What is not as it should be goes to `notes`.
    """

    def __init__(self, calls: Calls, rng: np.random.Generator, notes: list[str]) -> None:
        self.calls, self.rng, self.notes, self.parameters = calls, rng, notes, calls.parameters
        self.base = first_answers(calls).cost
        self.noise, self.in_steps, self.seconds = self.rounding_error()

    def rounding_error(self) -> tuple[float, bool, float]:
        """The rounding error of the cost, whether it changes in steps, and the seconds that a call takes."""
        started = time.perf_counter()
        changes = [abs(self.or_nan(self.near(EPS)) - self.base) for _ in range(8)]
        seconds = (time.perf_counter() - started) / 8
        # What rounding is left in third differences at steps so small that of a smooth cost nothing else is.
        fine, coarse = map(self.noise_on_a_line, (1e-12, 1e-7))
        last_digit = EPS * abs(self.base)
        noise = max([last_digit, *(change for change in [*changes, fine, coarse] if np.isfinite(change))])
        in_steps = coarse > 1000 * max(fine, last_digit)
        step, distance = self.smallest_step()
        if step <= 1000 * max(noise, last_digit):
            noise = max(noise, step)
        elif np.isfinite(step) and self.jumps(distance):
            noise, in_steps = step, True
        if in_steps:
            self.notes.append(f"A COST IN STEPS of about {noise:.0e}, as if in float32: differences see no less than that")
        return noise, in_steps, seconds

    def smallest_step(self) -> tuple[float, float]:
        """The smallest change of a cost that stands still nearby, as one that rounds to float32 or to so many digits does, and
        the smallest distance at which it changes; infinity and 0 where it does not stand still, or never changes."""
        distances = (1e-9, 1e-7, 1e-5, 1e-3)
        changes = [[abs(self.or_nan(self.near(d)) - self.base) for _ in range(3)] for d in distances]
        smallest = {d: min(up) for d, each in zip(distances, changes, strict=True) if (up := [c for c in each if c > 0])}
        if changes[0] != [0, 0, 0] or not smallest:
            return np.inf, 0.0
        return min(smallest.values()), min(smallest)

    def near(self, distance: float) -> dict[str, Array]:
        """Fresh arrays, each entry changed by so much of itself, a 0 of the tensor's size, up or down at random."""
        return {
            k: a + distance * np.where(a == 0, self.size(k), a) * self.rng.choice([-1.0, 1.0], a.shape)
            for k, a in self.parameters.items()
        }

    def costs_on_a_line(self, distances: Array) -> Array:
        """The costs at these distances, as in `near`, in one direction."""
        up = {k: array - self.parameters[k] for k, array in self.near(1.0).items()}
        return np.array([self.or_nan({k: a + d * up[k] for k, a in self.parameters.items()}) for d in distances])

    def noise_on_a_line(self, spacing: float) -> float:
        """The rounding error of the cost from its third differences, see `chain_differences.py`; a kink is in three of 13."""
        third = np.diff(self.costs_on_a_line(spacing * np.arange(16)), 3)
        return np.quantile(np.abs(third), 0.75) / np.sqrt(20)

    def jumps(self, distance: float) -> bool:
        """Whether the cost jumps near this distance, where a flat minimum of a smooth one only bends."""
        costs = self.costs_on_a_line(distance * (1 - np.arange(16) / 128))
        return np.nanmax(np.abs(np.diff(costs, 2)), initial=0) >= 0.3 * np.nanmax(np.abs(np.diff(costs)), initial=0)

    def size(self, tensor: str) -> float:
        """A tensor's typical size, which its steps are multiples of."""
        return float(np.sqrt(np.mean(self.parameters[tensor] ** 2))) or 1.0

    def moved(self, tensor: str, direction: Array, step: complex) -> dict[str, Array]:
        """Fresh arrays, with `step`, real or complex, times the direction added to a tensor."""
        dtype = complex if isinstance(step, complex) else float
        return {k: a + step * direction if k == tensor else a.astype(dtype) for k, a in self.parameters.items()}

    def along(self, tensor: str, direction: Array) -> Callable[[complex], Any]:
        """The cost by a step along the direction in a tensor; not a number where cost can't say."""
        return lambda step: self.or_nan(self.moved(tensor, direction, step))

    def or_nan(self, arrays: dict[str, Array]) -> Any:
        try:
            return self.calls.cost(arrays)
        except UserError as error:
            if not any(note.startswith(LEFT_OUT) for note in self.notes):
                self.notes.append(f"{LEFT_OUT}: near the parameters, {error}")
            return np.nan
