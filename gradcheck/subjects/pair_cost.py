"""A pair's cost near its parameters: its value, how far rounding may move it, and what it is a step further."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.differences import leap_of
from gradcheck.derivations.estimate import EPS
from gradcheck.errors import UserError
from gradcheck.subjects.first_calls import first_answers
from gradcheck.subjects.pair import Calls

# How the note on points that cost refuses begins.
LEFT_OUT = "POINTS LEFT OUT"

# Spacings of points on a line, as shares of the parameters, at which third differences are looked at for rounding.
FINE, MIDDLE, COARSE = 1e-12, 1e-6 / 16, 1e-6
# Distances at which the cost is looked at for steps, as shares of the parameters.
DISTANCES = (1e-9, 1e-7, 1e-5, 1e-3, 1e-1, 1.0)
# A cost that stands still up to a larger share of the parameters is constant in pieces, and not rounded to so many digits.
WIDEST = 1e-3
# Steps are so many times larger than what rounding moves.
CLEARLY = 1000
# At a 16 times larger spacing third differences of steps are at most so many times larger; those of a smooth cost grow 4,096
# times.
GROWTH = 4
# A change that is so many times smaller than another, and above the rounding as much, is neither a step nor rounding.
BETWEEN = 30
# The points on a line whose third differences tell rounding from all else.
POINTS = 16


class Cost:
    """`base` is the cost at the parameters of `calls`, a `Calls`; `noise` its rounding error, which is large where it changes
    `in_steps`, as of float32.

    `still` says that it is the same wherever it was looked at; `scale` is by how much it changes where the parameters change by
    their own size, and at least its own size. What is not as it should be goes to `notes`.
    """

    def __init__(self, calls: Calls, rng: np.random.Generator, notes: list[str]) -> None:
        self.calls, self.rng, self.notes, self.parameters = calls, rng, notes, calls.parameters
        self.base = first_answers(calls).cost
        closest = self.changes(EPS, times=8)
        further = {distance: self.changes(distance, times=3) for distance in DISTANCES}
        self.still = not any(change for changes in (closest, *further.values()) for change in changes)
        self.scale = max(abs(self.base), *(change for d in DISTANCES[-2:] for change in further[d] if np.isfinite(change)), 0.0)
        self.noise, self.in_steps = self.rounding_error(closest, further)

    def changes(self, distance: float, times: int) -> list[float]:
        """By how much the cost changes at this distance in random directions."""
        return [abs(self.or_nan(self.near(distance)) - self.base) for _ in range(times)]

    def rounding_error(self, closest: list[float], further: dict[float, list[float]]) -> tuple[float, bool]:
        """The rounding error of the cost from its `changes` at a distance of one digit and `further`, by distance; and whether
        it changes in steps."""
        # What rounding is left in third differences at steps so small that of a smooth cost nothing else is.
        lines = (self.costs_on_a_line(spacing * np.arange(POINTS)) for spacing in (FINE, MIDDLE, COARSE))
        fine, middle, coarse = map(noise_of, lines)
        noise = max([EPS * abs(self.base), *(change for change in (*closest, fine) if np.isfinite(change))])
        steps = self.smallest_step(further)
        # Those of a cost in float32 are as large at any spacing; all else that third differences show grows with it.
        if middle > max(CLEARLY * noise, coarse / GROWTH) and not self.falls_gradually(middle, noise):
            steps = max(steps, middle)
        in_steps = steps > CLEARLY * noise
        if in_steps:
            self.notes.append(f"A COST IN STEPS of about {steps:.0e}, as if in float32: differences see no less than that")
        return max(noise, steps), in_steps

    def falls_gradually(self, largest: float, noise: float) -> bool:
        """Whether the cost changes by less and less at smaller spacings, where third differences are `largest` at a larger one:
        it oscillates. Steps are there or not."""
        costs = [self.costs_on_a_line(COARSE / 16**k * np.arange(POINTS)) for k in (2, 3, 4, 5)]
        between = any(BETWEEN * noise < np.abs(np.diff(each, 3)).max() < largest / BETWEEN for each in costs)
        return between or bool(np.median(np.abs(np.diff(costs[-1]))) > max(largest / CLEARLY, BETWEEN * noise))

    def smallest_step(self, further: dict[float, list[float]]) -> float:
        """The smallest change of a cost that stands still nearby and leaps further on, as one that rounds to float32 or to so
        many digits does; 0 where it does not."""
        moving = [distance for distance, changes in further.items() if any(changes)]
        return self.leap(moving[0]) if moving and DISTANCES[0] < moving[0] <= WIDEST else 0.0

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

    def noise_along(self, tensor: str, direction: Array) -> float:
        """The rounding error of the cost where a tensor changes along a direction alone: another entry may round far worse."""
        cost, size = self.along(tensor, direction), self.size(tensor) / float(np.abs(direction).max())
        lines = (np.array([cost(spacing * size * k) for k in range(POINTS)]) for spacing in (FINE, MIDDLE))
        return max(EPS * abs(self.base), *map(noise_of, lines))

    def leap(self, distance: float) -> float:
        """By how much the cost changes at once on a line, from where it stands still to this distance; hardly at a kink."""
        up = {k: array - self.parameters[k] for k, array in self.near(1.0).items()}

        def change(distance: float) -> float:
            return abs(self.or_nan({k: a + distance * up[k] for k, a in self.parameters.items()}) - self.base)

        # In another direction it may stand still a little further.
        moving = next((d for d in distance * 2.0 ** np.arange(8) if change(d)), distance)
        return leap_of(change, 0.0, moving)

    def size(self, tensor: str) -> float:
        """A tensor's typical size, which its steps are multiples of."""
        return float(np.sqrt(np.mean(self.parameters[tensor] ** 2))) or 1.0

    def moved(self, tensor: str, direction: Array, step: complex) -> dict[str, Array]:
        """Fresh arrays, with `step`, real or complex, times the direction added to a tensor."""
        found = {k: a.astype(complex) if isinstance(step, complex) else a.copy() for k, a in self.parameters.items()}
        found[tensor] = self.parameters[tensor] + step * direction
        return found

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


def noise_of(costs: Array) -> float:
    """The rounding error of costs on a line from their third differences, see `chain_differences.py`; a kink is in three of 13.

    Where it is 0 at the parameters it rounds by less there than a step further, which is not counted.
    """
    noise = np.quantile(np.abs(np.diff(costs, 3)), 0.75) / np.sqrt(20)
    return float(noise) if noise > EPS * np.max(np.abs(costs)) else 0.0
