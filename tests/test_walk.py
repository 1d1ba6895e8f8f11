"""The walk: correct twins walk as PyTorch does, and what is right at one point, batch and call alone is found."""

from functools import partial

import numpy as np
import pytest

from lab import twins
from lab.walking.walk import walk
from lab.walking.walker import StackOfOne, Walker
from networks import Network, initial_state

PLAIN = Network("plain", hidden=(6, 5), inputs=12, outputs=4)
WITH_BATCH_NORM = Network("batch norm", hidden=(6, 5), batch_norm=True, inputs=12, outputs=4)
SIGMOID = Network("sigmoid", hidden=(6,), loss="sigmoid", inputs=12, outputs=4)


def images(network, n=600, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, network.inputs)), rng.integers(network.outputs, size=n)


def take_a_walk(network, implementation="manual", dtype="float64", candidates=None, batch_size=40, seed=0):
    """The sentence of a walk of one twin, or of a stack of `candidates`, or None."""
    count = candidates or 1
    states = [initial_state(network, seed=seed + k) for k in range(count)]
    lam = 0.01 * np.arange(1, network.depth + 1)[:, None] * (1 + np.arange(count) / 8)  # (depth, C)
    if candidates:
        stack = twins.training_stack(implementation, network, states, dtype)
    else:
        stack = StackOfOne(twins.training_twin(implementation, network, states[0], dtype))
    return walk(Walker("the twin", stack, lam, dtype, "cpu"), *images(network), batch_size, seed=seed)


def replace(monkeypatch, module, name, spoiled):
    """Puts `spoiled(original, ...)` in the place of a function."""
    monkeypatch.setattr(module, name, partial(spoiled, getattr(module, name)))


@pytest.mark.parametrize("candidates", [None, 1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("implementation", ["manual", "torch"])
@pytest.mark.parametrize("network", [PLAIN, WITH_BATCH_NORM, SIGMOID], ids=lambda network: network.name)
def test_correct_twins_walk_as_pytorch_does(network, implementation, dtype, candidates):
    for batch_size in (2, 40, 250):
        assert take_a_walk(network, implementation, dtype, candidates, batch_size) is None
