"""What a twin is that can be trained, and the one place that builds twins: the two of a network start from the same numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import manual
from gradcheck.arrays import Array
from gradcheck.subject import Twin
from networks import Evaluation, Network

if TYPE_CHECKING:
    import models

# Parameters and running statistics, by name.
State = dict[str, Array]
# An array where a twin computes: NumPy's, CuPy's, or a tensor.
DeviceArray = Any


class OnDevice(Protocol):
    """What a twin and a stack share: the way of images to where they compute, and back."""

    network: Network

    def array(self, array: Array, /) -> DeviceArray:
        """A NumPy array where the network is: floats in the network's dtype."""

    def to_numpy(self, array: DeviceArray, /) -> Array:
        """The same numbers as a NumPy array."""

    def batch(
        self, X: DeviceArray, y: DeviceArray, rows: Array, flipped: Array | None = None
    ) -> tuple[DeviceArray, DeviceArray]:
        """Those `rows` (n,) of X and y, with the images where `flipped` (n,) is true mirrored. The next call may reuse X."""


class TrainingTwin(OnDevice, Twin, Protocol):
    """A twin that can also be trained. X is (n, d), y is (n,)."""

    def forward(self, X: DeviceArray, training: bool = False) -> DeviceArray:
        """Logits (n, K). In training mode batch norm uses the batch X and moves its running statistics."""

    def activations(self, X: DeviceArray) -> list[DeviceArray]:
        """The output A (n, m) of each hidden layer, and the logits (n, K), in evaluation mode."""

    def train_step(self, X: DeviceArray, y: DeviceArray, lam: Sequence[float], lr: float) -> tuple[float, float]:
        """One update in place, in training mode; one lambda a layer. Returns loss and cost before it."""

    def evaluate(self, X: DeviceArray, y: DeviceArray, lam: Sequence[float]) -> Evaluation[float]:
        """Loss, cost and accuracy in evaluation mode."""


class TrainingStack(OnDevice, Protocol):
    """C networks of one shape that take their updates at the same batches, all at once. X is (n, d), y is (n,)."""

    def states(self) -> list[State]:
        """A copy of the state of each."""

    def load_states(self, states: Sequence[State]) -> None:
        """Copies a state into each, in place."""

    def train_step(self, X: DeviceArray, y: DeviceArray, lam: Array, lr: Array) -> tuple[Array, Array]:
        """One update of each; `lam` is (depth, C), `lr` is (C,). Returns losses and costs before it, (C,) each."""

    def evaluate(self, X: DeviceArray, y: DeviceArray, lam: Array) -> Evaluation[Array]:
        """Losses, costs and accuracies, (C,) each, in evaluation mode."""


def build(
    network: Network, state: Mapping[str, Array], dtype: str = "float64", device: str = "cpu"
) -> tuple[manual.MLP, models.MLP]:
    """The manual twin in `dtype` and the PyTorch twin in float64 on `device`, both with `state` as `dtype` holds it."""
    import torch

    import models

    claimed = manual.MLP(network, state, np.dtype(dtype))
    return claimed, models.MLP(network, claimed.state(), torch.float64, device)


def training_twin(
    implementation: str, network: Network, state: Mapping[str, Array], dtype: str = "float32", device: str = "cpu"
) -> TrainingTwin:
    """The "manual" or the "torch" twin, to be trained: every number in `dtype`, on `device`, "cpu" or "cuda"."""
    if implementation == "manual":
        return manual.MLP(network, state, np.dtype(dtype), device)
    import torch

    import models

    return models.MLP(network, state, getattr(torch, dtype), device)


def training_stack(
    implementation: str,
    network: Network,
    states: Sequence[Mapping[str, Array]],
    dtype: str = "float32",
    device: str = "cpu",
) -> TrainingStack:
    """Several networks of one shape, each with a state of `states`, as the "manual" or the "torch" twin trains them at once."""
    if implementation == "manual":
        return manual.Stack(network, states, np.dtype(dtype), device)
    import torch

    import models

    return models.Stack(network, states, getattr(torch, dtype), device)


@contextmanager
def shared_cores(implementations: Sequence[str]) -> Iterator[None]:
    """Inside, PyTorch takes one core if the NumPy twin trains beside it.

    Each keeps a pool of threads that spin while they wait; turn by turn on the same cores, two pools are five times slower.
    """
    if len(implementations) == 1:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
