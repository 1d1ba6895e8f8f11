"""How far two twins that were trained on the same batches have drifted from each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.per_layer import split_name
from lab.twins import DeviceArray, State, TrainingTwin


def measure_drift(pairs: Sequence[tuple[TrainingTwin, DeviceArray]], costs: Sequence[float]) -> dict[str, Any]:
    """Relative distances as a dict: "logits", "cost", "weights", and the ReLUs that are active in one twin only.

    `pairs` holds both twins, each with images X (n, d) where it computes, `costs` the training costs of both.
    "logits" and "weights" are the largest difference of an entry over the largest entry of the second twin; for a bias, gamma
    or beta over the largest of its layer's weights where that is larger, because a bias before batch norm is
    nothing but rounding. "worst" names the tensor that "weights" comes from. "relu" counts the units over X that "differ", and
    holds the first "layer" where one does, or None, and the number of all "units".
    """
    first, second = ([twin.to_numpy(A) for A in twin.activations(X)] for twin, X in pairs)  # (n, m) each, the logits last
    states = [twin.state() for twin, _ in pairs]
    parameters = pairs[0][0].network.parameter_shapes()
    distances = {name: distance(states[0][name], states[1][name], largest_entry(states[1], name)) for name in parameters}
    worst = max(distances, key=lambda name: distances[name])
    differing = [int(((a > 0) != (b > 0)).sum()) for a, b in zip(first[:-1], second[:-1], strict=True)]  # of each hidden layer
    return {
        "logits": distance(first[-1], second[-1], np.abs(second[-1]).max()),
        "cost": distance(np.array(costs[0]), np.array(costs[1]), abs(costs[1])),
        "weights": distances[worst],
        "worst": worst,
        "relu": {
            "differ": sum(differing),
            "layer": next((layer for layer, count in enumerate(differing, start=1) if count), None),
            "units": sum(A.size for A in first[:-1]),
        },
    }


def distance(first: Array, second: Array, scale: float) -> float:
    """The largest difference over `scale`; equal numbers have none, whatever the scale."""
    largest = float(np.abs(first.astype(np.float64) - second).max())
    return largest / float(scale) if largest else 0.0


def largest_entry(state: State, name: str) -> float:
    """The largest entry of a tensor, or of the weights of its layer."""
    _, layer = split_name(name)
    return max(np.abs(state[name]).max(), np.abs(state[f"W{layer}"]).max())
