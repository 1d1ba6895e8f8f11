"""Differences one entry at a time, of any cost function: slow, simple, and knowing nothing of layers."""

import numpy as np


def difference_quotients(cost, parameters, step, offsets=(-1, 1)):
    """(J(w + b step) - J(w + a step)) / ((b - a) step) at each entry, with (a, b) the offsets: (-1, 1) is central.

    `cost(parameters)` returns a number, `parameters` is a dict of float64 arrays and is left as it was. Returns a dict of
    arrays of the same shapes.
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
