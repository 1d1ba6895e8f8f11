"""Differences one entry at a time, of any cost function: slow, simple, and without any knowledge of layers."""

from collections.abc import Callable

import numpy as np

from gradcheck.arrays import Array, Arrays


def difference_quotients(
    cost: Callable[[dict[str, Array]], float], parameters: Arrays, step: float, offsets: tuple[int, int] = (-1, 1)
) -> dict[str, Array]:
    """(J(w + b step) - J(w + a step)) / ((b - a) step) at each entry, with (a, b) the offsets: (-1, 1) is central.

    `cost(parameters)` returns a number, `parameters` are float64 arrays by name and are left as they were. Returns arrays of
    the same names and shapes.
    """
    moved = {name: array.copy() for name, array in parameters.items()}
    quotients = {}
    for name, array in parameters.items():
        quotients[name] = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            costs = []
            for offset in offsets:
                moved[name][index] = array[index] + offset * step
                costs.append(cost(moved))
            moved[name][index] = array[index]
            quotients[name][index] = (costs[1] - costs[0]) / ((offsets[1] - offsets[0]) * step)
    return quotients
