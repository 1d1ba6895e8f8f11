"""Whether two calls with the same parameters gave the same: what differs by rounding alone does.

A sum whose terms come in another order each time differs in its last digits. How many of them are rounding is measured at
that very entry, by calls with larger roundings: what differs between calls anyway is then small beside what rounding does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.faults import numbers
from gradcheck.rounding.draws import DRAWS, SAFETY, UNIT, Choices
from gradcheck.rounding.numpy_noise import Noise
from gradcheck.subjects.pair import Calls

# Roundings so many times larger than they are. It is far over SAFETY: else what differs between calls would pass for rounding.
MAGNIFIED = {"float64": 2.0**20, "float32": 2.0**10}
# So many calls show by how much they differ.
REPEATS = 8

# What a function of a pair returns, by name, from arrays by name.
Answer = dict[str, Any]


class Repeats:
    """The calls of one function of a pair, `call(arrays)`, which computes in `dtype`, against the `first` of them.

    `varied` says that one of them differed, if by rounding alone.
    """

    def __init__(self, calls: Calls, call: Callable[[dict[str, Array]], Answer], first: Answer, dtype: str) -> None:
        self.calls, self.call, self.dtype = calls, call, dtype
        self.first = {name: array for name, value in first.items() if (array := numbers(value)) is not None}
        self.rng = np.random.default_rng(0)
        self.rounding: dict[str, Array] | None = None
        self.varied = False

    def differing(self, other: Answer) -> list[str]:
        """The names of what another call answers otherwise, by more than rounding."""
        apart = {name: array for name, array in self.first.items() if not same_numbers(array, other.get(name))}
        self.varied = self.varied or bool(apart)
        return [name for name in apart if not self.within_rounding(name, other.get(name))]

    def within_rounding(self, name: str, other: Any) -> bool:
        first, array = self.first[name], numbers(other)
        if array is None or array.shape != first.shape:
            return False
        rounding = self.rounding_of(name)
        with np.errstate(invalid="ignore"):
            return bool((same_entries(first, array) | (np.abs(array - first) <= rounding)).all())

    def rounding_of(self, name: str) -> Array:
        """What rounding may change in each entry, as measured; 0 where that is not known."""
        if self.rounding is None:
            self.rounding = self.measured_rounding()
        return self.rounding.get(name, np.zeros(()))

    def spread(self) -> dict[str, Array]:
        """By how much each entry differs between calls, the largest less the smallest of REPEATS."""
        answers = [self.first, *(self.run(0.0, Choices(), inside=False) for _ in range(REPEATS - 1))]
        return {name: np.ptp([each[name] for each in answers], axis=0) for name in self.first}

    def measured_rounding(self) -> dict[str, Array]:
        """What rounding may change in each entry; where the code can't be run with larger roundings, nothing is known of it."""
        unit, magnified = UNIT[self.dtype], MAGNIFIED[self.dtype]
        for inside in (True, False):
            try:
                exact = self.run(0.0, held := Choices(), inside)
                drawn = [self.run(magnified * unit, Choices(held), inside) for _ in range(DRAWS)]
            except Exception:  # whatever the user's code does where it does not run on arrays that round at random
                continue
            change = {name: np.max([np.abs(each[name] - exact[name]) for each in drawn], axis=0) for name in exact}
            return {name: SAFETY * (change[name] / magnified + unit * np.abs(exact[name])) for name in exact}
        return {}

    def run(self, unit: float, choices: Choices, inside: bool) -> dict[str, Array]:
        """A call in which the parameters, and with `inside` every result, are rounded to `unit`."""
        rounded = {k: a * (1 + 2 * unit * self.rng.choice([-1.0, 1.0], a.shape)) for k, a in self.calls.parameters.items()}
        arrays = {name: np.asarray(array, self.dtype) for name, array in rounded.items()}
        if not inside:
            found = self.call(arrays)
        elif self.calls.in_torch:
            import torch

            from gradcheck.rounding.torch_noise import RoundingNoise

            with RoundingNoise(unit, torch.Generator().manual_seed(int(self.rng.integers(2**31))), choices):
                found = self.call(arrays)
        else:
            noise = Noise(unit, self.rng, choices)
            found = self.call({name: noise.array(array) for name, array in arrays.items()})
        return {name: np.asarray(numbers(value), np.float64) for name, value in found.items()}


def of_cost(calls: Calls, first: float) -> Repeats:
    """The calls of cost, whose answer is its value under "cost"."""
    return Repeats(calls, lambda arrays: {"cost": calls.cost(arrays)}, {"cost": first}, "float64")


def of_gradients(calls: Calls, first: Answer) -> Repeats:
    """The calls of gradients."""
    return Repeats(calls, lambda arrays: calls.claimed(arrays, calls.dtype), first, calls.dtype)


def same_entries(first: Array, second: Array) -> Array:
    """Where two arrays hold the same; two that are not a number are the same."""
    return (first == second) | ((first != first) & (second != second))


def same_numbers(first: Array, other: Any) -> bool:
    array = numbers(other)
    return array is not None and array.shape == first.shape and bool(same_entries(first, array).all())
