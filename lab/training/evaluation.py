"""What a network makes of a whole part of the data, in evaluation mode."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from lab.training.device_data import DeviceData
from lab.twins import TrainingStack, TrainingTwin
from networks import Evaluation

# Rows at a time: what they become behind the first layer stays in the processor's cache.
CHUNK = 2000

# Of the histograms of the probability of the true class.
BINS = 20


def overflow_allowed() -> np.errstate:
    """Inside, NumPy does not warn of infinities and of nan: where training runs away, the loss shows it."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def chunks(data: DeviceData) -> Iterator[DeviceData]:
    return (DeviceData(data.X[at : at + CHUNK], data.y[at : at + CHUNK]) for at in range(0, len(data.y), CHUNK))


def evaluate(network: TrainingTwin | TrainingStack, data: DeviceData, lam: Any) -> Evaluation[Any]:
    """Loss, cost and accuracy over all of `data`: the means over its chunks. Those of a stack are lists.

    `lam` is what the `evaluate` of the network takes: one number a layer, or (depth, C) for a stack.
    """
    with overflow_allowed():
        sizes, found = zip(*((len(y), network.evaluate(X, y, lam)) for X, y in chunks(data)), strict=True)
        return Evaluation(*np.average(np.array(found), axis=0, weights=sizes).tolist())


def true_class_histogram(twin: TrainingTwin, data: DeviceData) -> dict[str, list[int]]:
    """How probable the network holds the true class, counted in BINS equal bins: "right" and "wrong" predictions apart."""
    counts = {"right": np.zeros(BINS, int), "wrong": np.zeros(BINS, int)}
    for X, y in chunks(data):
        logits, labels = twin.to_numpy(twin.forward(X)), twin.to_numpy(y)  # (n, K), (n,)
        p = probability_of_class(logits.astype(np.float64), labels, twin.network.loss)  # (n,)
        right = logits.argmax(axis=1) == labels  # (n,)
        for name, chosen in (("right", right), ("wrong", ~right)):
            counts[name] += np.histogram(p[chosen], BINS, (0, 1))[0]
    return {name: count.tolist() for name, count in counts.items()}


def probability_of_class(logits: Array, y: Array, loss: str) -> Array:
    """p_y (n,) of logits (n, K): softmax over the classes, or the sigmoid of the one."""
    own = logits[np.arange(len(y)), y]  # (n,)
    if loss == "softmax":
        return np.exp(own - np.logaddexp.reduce(logits, axis=1))
    return np.exp(-np.logaddexp(0, -own))
