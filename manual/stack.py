"""Several networks of one shape at once, in NumPy: every array of the state has a leading axis, one entry a network.

Read beside `models/stack.py`, its twin in PyTorch: both classes answer to the same names.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike

from gradcheck.arrays import Array
from manual.device import to_numpy
from manual.mlp import MLP, evaluate, update
from manual.workspace import Workspace
from networks import Evaluation, Network


class Stack:
    """C networks of one shape, each from its own state of the list `states`; they see the same batches."""

    def __init__(
        self, network: Network, states: Sequence[Mapping[str, Array]], dtype: DTypeLike = np.float64, device: str = "cpu"
    ) -> None:
        self.network = network
        self.one = MLP(network, states[0], dtype, device)
        self.array, self.batch, self.to_numpy = self.one.array, self.one.batch, self.one.to_numpy
        xp, stacked, dtype = self.one.xp, (len(states),), self.one.dtype
        self.parameters = {name: xp.empty(stacked + shape, dtype) for name, shape in network.parameter_shapes().items()}
        self.statistics = {name: xp.empty(stacked + shape, dtype) for name, shape in network.statistic_shapes().items()}
        self.workspace = Workspace(network, xp, dtype, stacked)
        self.load_states(states)

    def load_states(self, states: Sequence[Mapping[str, Array]]) -> None:
        """Copies the state of each network. Raises UserError where a name or shape is not the network's."""
        for k, state in enumerate(states):
            self.network.check_state(state)
            for name, array in (self.parameters | self.statistics).items():
                array[k] = self.array(state[name])

    def states(self) -> list[dict[str, Array]]:
        """The state of each network, as NumPy arrays by name."""
        arrays = {name: to_numpy(array) for name, array in (self.parameters | self.statistics).items()}
        return [{name: array[k].copy() for name, array in arrays.items()} for k in range(*self.workspace.stacked)]

    def train_step(self, X: Array, y: Array, lam: Array, lr: Array) -> tuple[Array, Array]:
        """One update of each at X (n, d), y (n,). `lam` (depth, C), `lr` (C,). Returns losses and costs before it, (C,)."""
        lam, lr, out = self.array(lam), self.array(lr), self.workspace.for_update(len(y))
        losses, costs = update(self.network, self.parameters, self.statistics, X, y, lam, lr, out)  # (C,), (C,)
        return to_numpy(losses), to_numpy(costs)

    def evaluate(self, X: Array, y: Array, lam: Array) -> Evaluation[Array]:
        """The losses, costs and accuracies, (C,) each, at X (n, d), y (n,), in evaluation mode. `lam` is (depth, C)."""
        found = evaluate(self.network, self.parameters, self.statistics, X, y, self.array(lam))
        return Evaluation(*map(to_numpy, found))
