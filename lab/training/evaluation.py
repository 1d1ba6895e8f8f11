"""What a network makes of a whole part of the data, in evaluation mode."""

from typing import NamedTuple

import numpy as np

from networks import Evaluation

# Rows at a time: what they become behind the first layer stays in the processor's cache.
CHUNK = 2000

# Of the histograms of the probability of the true class.
BINS = 20


class DeviceData(NamedTuple):
    """A part of the data where a twin computes: X (n, d) normalised and y (n,)."""

    X: object
    y: object


def chunks(data):
    return (DeviceData(data.X[at : at + CHUNK], data.y[at : at + CHUNK]) for at in range(0, len(data.y), CHUNK))


def evaluate(twin, data, lam):
    """Loss, cost and accuracy over all of `data`, as an Evaluation: the means over its chunks. Of a stack, lists."""
    sizes, found = zip(*((len(y), twin.evaluate(X, y, lam)) for X, y in chunks(data)), strict=True)
    return Evaluation(*np.average(np.array(found), axis=0, weights=sizes).tolist())


def true_class_histogram(twin, data):
    """How probable the network holds the true class, counted in BINS equal bins, right and wrong predictions apart."""
    counts = {"right": np.zeros(BINS, int), "wrong": np.zeros(BINS, int)}
    for X, y in chunks(data):
        logits, y = twin.to_numpy(twin.forward(X)), twin.to_numpy(y)  # (n, K), (n,)
        p = probability_of_class(logits.astype(np.float64), y, twin.network.loss)  # (n,)
        right = logits.argmax(axis=1) == y  # (n,)
        for name, chosen in (("right", right), ("wrong", ~right)):
            counts[name] += np.histogram(p[chosen], BINS, (0, 1))[0]
    return {name: count.tolist() for name, count in counts.items()}


def probability_of_class(logits, y, loss):
    """p_y (n,) of logits (n, K): softmax over the classes, or the sigmoid of the one."""
    own = logits[np.arange(len(y)), y]  # (n,)
    if loss == "softmax":
        return np.exp(own - np.logaddexp.reduce(logits, axis=1))
    return np.exp(-np.logaddexp(0, -own))
