"""The one place that builds a network: its two twins from the same numbers, and the chain that differences walk along."""

from contextlib import contextmanager

import numpy as np
import torch

import manual
import models
from gradcheck import Chain
from manual import layers
from manual.mlp import activate, loss_forward


def build(network, state, dtype="float64", device="cpu"):
    """The manual twin in `dtype` and the PyTorch twin in float64 on `device`, both with `state` as `dtype` holds it."""
    hand = manual.MLP(network, state, np.dtype(dtype))
    return hand, models.MLP(network, hand.state(), torch.float64, device)


def training_twin(implementation, network, state, dtype="float32", device="cpu"):
    """The "manual" or the "torch" twin, to be trained: every number in `dtype`, on `device`."""
    if implementation == "manual":
        return manual.MLP(network, state, np.dtype(dtype), device)
    return models.MLP(network, state, getattr(torch, dtype), device)


@contextmanager
def shared_cores(implementations):
    """Inside, PyTorch takes one core if the NumPy twin trains beside it.

    Each keeps a pool of threads that spin while they wait; turn by turn on the same cores, two pools are five times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if len(implementations) > 1 else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def chain(network, parameters, X, y):
    """The manual forward pass in training mode at X (n, d), y (n,), as a `gradcheck.Chain` in float64."""

    def activation(S, gamma, beta):
        A, (_, active), _ = activate(network, S, gamma, beta)
        return A, active

    return Chain(
        parameters={name: array.astype(np.float64) for name, array in parameters.items()},
        X=X.astype(np.float64),
        linear=lambda A, W, b, out: layers.linear_forward(A, W, b, out)[0],
        activate=activation,
        loss=lambda logits, rows: loss_forward(network.loss, logits, y[rows])[0] * (len(rows) / len(y)),
    )
