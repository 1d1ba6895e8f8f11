"""How far apart two twins have drifted that were trained on the same batches."""

import re

import numpy as np


def measure_drift(pairs, costs):
    """Relative distances as a dict: "logits", "cost", "weights", and the ReLUs that are active in one twin only.

    `pairs` holds both twins, each with images X (n, d) where it computes, `costs` the training costs of both.
    "logits" and "weights" are the largest difference of an entry over the largest entry; for a bias, gamma or
    beta over the largest of its layer's weights where that is larger, because a bias before batch norm is
    nothing but rounding. "worst" names the tensor that "weights" comes from; "relu" counts the units over X, and says the
    first layer and the number of all units.
    """
    ours, theirs = ([twin.to_numpy(A) for A in twin.activations(X)] for twin, X in pairs)
    states = [twin.state() for twin, _ in pairs]
    parameters = pairs[0][0].network.parameter_shapes()
    distances = {name: distance(states[0][name], states[1][name], size(states[1], name)) for name in parameters}
    worst = max(distances, key=distances.get)
    differing = [int(((a > 0) != (b > 0)).sum()) for a, b in zip(ours[:-1], theirs[:-1], strict=True)]  # a hidden layer
    return {
        "logits": distance(ours[-1], theirs[-1], np.abs(theirs[-1]).max()),
        "cost": distance(*np.array(costs), np.abs(costs[1])),
        "weights": distances[worst],
        "worst": worst,
        "relu": {
            "differ": sum(differing),
            "layer": next((layer for layer, count in enumerate(differing, start=1) if count), None),
            "units": sum(A.size for A in ours[:-1]),
        },
    }


def distance(ours, theirs, scale):
    """The largest difference over `scale`; equal numbers have none, whatever the scale."""
    largest = float(np.abs(ours.astype(np.float64) - theirs).max())
    return largest / float(scale) if largest else 0.0


def size(state, name):
    """The largest entry of a tensor, or of the weights of its layer."""
    layer = re.search(r"\d+$", name).group()
    return max(np.abs(state[name]).max(), np.abs(state[f"W{layer}"]).max())
