"""The one place that builds a network: its two twins from the same numbers."""

from contextlib import contextmanager

import numpy as np
import torch

import manual
import models


def build(network, state, dtype="float64", device="cpu"):
    """The manual twin in `dtype` and the PyTorch twin in float64 on `device`, both with `state` as `dtype` holds it."""
    claimed = manual.MLP(network, state, np.dtype(dtype))
    return claimed, models.MLP(network, claimed.state(), torch.float64, device)


def training_twin(implementation, network, state, dtype="float32", device="cpu"):
    """The "manual" or the "torch" twin, to be trained: every number in `dtype`, on `device`."""
    if implementation == "manual":
        return manual.MLP(network, state, np.dtype(dtype), device)
    return models.MLP(network, state, getattr(torch, dtype), device)


def training_stack(implementation, network, states, dtype="float32", device="cpu"):
    """Several networks of one shape, each with a state of `states`, as the "manual" or the "torch" twin trains them at once."""
    if implementation == "manual":
        return manual.Stack(network, states, np.dtype(dtype), device)
    return models.Stack(network, states, getattr(torch, dtype), device)


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
