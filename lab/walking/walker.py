"""What walks: a twin or a stack of twins, asked in one way, and the sentences on what it does."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradcheck.arrays import Array
from gradcheck.faults import describe_error
from lab import twins
from lab.twins import DeviceArray, State, TrainingStack, TrainingTwin
from lab.walking.rates import along
from networks import Evaluation, Network


class Astray(Exception):
    """A twin does not do what PyTorch does; the message is a sentence on it."""


class StackOfOne:
    """A twin that answers as a `TrainingStack` does."""

    def __init__(self, twin: TrainingTwin) -> None:
        self.twin, self.network = twin, twin.network
        self.array, self.batch, self.to_numpy = twin.array, twin.batch, twin.to_numpy

    def states(self) -> list[State]:
        return [self.twin.state()]

    def load_states(self, states: Sequence[State]) -> None:
        self.twin.load_state(states[0])

    def train_step(self, X: DeviceArray, y: DeviceArray, lam: Array, lr: Array) -> tuple[Array, Array]:
        loss, cost = self.twin.train_step(X, y, tuple(lam[:, 0].tolist()), float(lr[0]))
        return np.array([loss]), np.array([cost])

    def evaluate(self, X: DeviceArray, y: DeviceArray, lam: Array) -> Evaluation[Array]:
        found = self.twin.evaluate(X, y, tuple(lam[:, 0].tolist()))
        return Evaluation(*(np.array([number]) for number in found))


class Walker(NamedTuple):
    """A stack, or a twin as one, as `name` calls it in a sentence; `lam` is (depth, C), and it computes in `dtype`."""

    name: str
    stack: TrainingStack
    lam: Array
    dtype: str
    device: str

    @property
    def reported(self) -> str:
        """The dtype of the losses that it returns: a twin returns Python's numbers."""
        return "float64" if isinstance(self.stack, StackOfOne) else self.dtype

    def outputs(self, X: DeviceArray) -> list[tuple[str, Array]]:
        """Of a single twin, in evaluation mode: what each hidden layer hands on, "A1" and so on, and twice the "logits"."""
        if not isinstance(self.stack, StackOfOne):
            return []
        twin = self.stack.twin
        names = [*(f"A{layer}" for layer in range(1, twin.network.depth)), "logits"]
        arrays = [*zip(names, twin.activations(X), strict=True), ("logits", twin.forward(X))]
        return [(name, twin.to_numpy(array)[None]) for name, array in arrays]  # (1, n, m) each

    def training_logits(self, X: DeviceArray) -> Array | None:
        """Of a single twin, the logits (1, n, K) in training mode, which moves running statistics; None of a stack."""
        if not isinstance(self.stack, StackOfOne):
            return None
        twin = self.stack.twin
        return twin.to_numpy(twin.forward(X, True))[None]


def walker_of_twin(
    implementation: str, network: Network, state: Mapping[str, Array], lam: Sequence[float], dtype: str, device: str
) -> Walker:
    """The "manual" or the "torch" twin as it trains, with one lambda a layer."""
    twin = twins.training_twin(implementation, network, state, dtype, device)
    return Walker(f"the {implementation} twin", StackOfOne(twin), np.array(lam, np.float64)[:, None], dtype, device)


def walker_of_stack(
    implementation: str, network: Network, states: Sequence[Mapping[str, Array]], lam: Array, dtype: str, device: str
) -> Walker:
    """Several networks as the "manual" or the "torch" twin trains them at once; `lam` is (depth, C)."""
    stack = twins.training_stack(implementation, network, states, dtype, device)
    return Walker(f"the stack of {len(states)} {implementation} twins", stack, lam, dtype, device)


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Raises Astray where the code inside raises anything; `what` begins the sentence."""
    try:
        yield
    except Exception as error:
        raise Astray(f"{what} raised {describe_error(error)}") from error


def compare(where: str, name: str, claimed: Array | Tensor, expected: Tensor, allowed: Tensor) -> None:
    """Raises Astray where an entry of `claimed` (C, ...) is further from `expected` than `allowed`, (C,) or for each entry.

    Where infinity is allowed nothing is known.
    """
    claimed = torch.as_tensor(claimed, dtype=torch.float64, device=expected.device)
    if claimed.shape != expected.shape:
        raise Astray(f"{where}: {name} has shape {tuple(claimed.shape[1:])}, in PyTorch {tuple(expected.shape[1:])}")
    bound = allowed if allowed.ndim == expected.ndim else along(allowed, expected)
    error = (claimed - expected).abs()  # (C, ...)
    excess = torch.where((error == 0) | (bound.isinf() & error.isfinite()), 0, error / bound).nan_to_num(nan=torch.inf)
    if not (excess > 1).any():
        return
    at = np.unravel_index(int(excess.argmax()), tuple(expected.shape))
    candidate = f" of candidate {at[0]}" if len(expected) > 1 else ""
    entry = f"{name}{list(map(int, at[1:])) if len(at) > 1 else ''}{candidate}"
    raise Astray(f"{where}: {entry} is {claimed[at].item():.9g}, in PyTorch {expected[at].item():.9g}")
