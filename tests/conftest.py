import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from threadpoolctl import threadpool_limits

from lab import twins
from lab.data import datasets
from lab.network_check import chain_of
from networks import Network, nonzero_state

# Tests run in one process a core: each takes one thread, and so do the commands that they start.
torch.set_num_threads(1)
threadpool_limits(1)
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# A shared machine is slow at times, and a test that fails must fail again.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

SMALL = {
    "softmax": Network("softmax", inputs=7),
    "sigmoid": Network("sigmoid", inputs=7, loss="sigmoid"),
    "relu": Network("relu", hidden=(6, 5), inputs=7),
    "bn": Network("bn", hidden=(6, 5, 4), batch_norm=True, inputs=7),
    "bn-sigmoid": Network("bn-sigmoid", hidden=(6,), batch_norm=True, loss="sigmoid", inputs=7),
}


@pytest.fixture(params=SMALL.values(), ids=SMALL)
def network(request):
    return request.param


@pytest.fixture
def cifar10_dir():
    folder = os.environ.get("CIFAR10_DIR")
    if not folder or not (Path(folder) / "cifar-10-batches-py").is_dir():
        pytest.skip("needs the real CIFAR-10: set CIFAR10_DIR to the folder that holds cifar-10-batches-py")
    return folder


@pytest.fixture(scope="module")
def drawn_once():
    """The synthetic images are drawn once for all tests of a module, not at each call of a command."""
    drawn = {}
    original = datasets.draw_synthetic
    patch = pytest.MonkeyPatch()
    patch.setattr(datasets, "draw_synthetic", lambda seed: drawn.get(seed) or drawn.setdefault(seed, original(seed)))
    yield
    patch.undo()


class Problem:
    """A network at random nonzero parameters, with a random batch."""

    def __init__(self, network, n=5, seed=0, dtype="float64"):
        rng = np.random.default_rng([seed, 2])
        self.network = network
        self.X = rng.standard_normal((n, network.inputs)).astype(dtype).astype(np.float64)
        self.y = rng.integers(0, network.outputs, n)
        self.manual, self.torch = twins.build(network, nonzero_state(network, seed=seed), dtype)

    @property
    def chain(self):
        return chain_of(self.network, self.manual.parameters, self.X, self.y)


def narrow(network):
    """The same with hidden layers of 4 units; of 8 in nine layers, where fewer would leave no path alive."""
    return replace(network, hidden=(4 if network.depth < 9 else 8,) * len(network.hidden))


def call(main, capsys, *arguments):
    """A command called in this process: (exit code, standard output, standard error)."""
    from gradcheck.command import run

    argv, sys.argv = sys.argv, ["command", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as stop:
            run(main)
    finally:
        sys.argv = argv
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err
