"""Several networks of one shape at once, in PyTorch: `torch.func.vmap` of the very modules that one network is.

Read beside `manual/stack.py`, its twin in NumPy: both classes answer to the same names.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from gradcheck.arrays import Array
from models.losses import LOSSES, l2_penalty
from models.mlp import MLP
from networks import Evaluation, Network


class BehindFirst(nn.Sequential):
    """Modules under the names that they have in the whole network, from what the first of them gives to the logits."""

    def forward(self, S: Tensor) -> Tensor:
        for module in list(self)[1:]:
            S = module(S)
        return S


class Stack:
    """C networks of one shape, each from its own state of the list `states`; they see the same batches."""

    def __init__(
        self, network: Network, states: Sequence[Mapping[str, Array]], dtype: torch.dtype = torch.float64, device: str = "cpu"
    ) -> None:
        self.network = network
        self.one = MLP(network, states[0], dtype, device)
        self.array, self.batch, self.to_numpy = self.one.array, self.one.batch, self.one.to_numpy
        self.behind_first = BehindFirst(*self.one.layers)
        own = [MLP(network, state, dtype, device).layers.state_dict() for state in states]
        stacked = {name: torch.stack([state[name] for state in own]) for name in own[0]}
        self.parameters = {name: stacked[name] for name, _ in self.one.layers.named_parameters()}
        self.buffers = {name: stacked[name] for name, _ in self.one.layers.named_buffers()}

    def states(self) -> list[dict[str, Array]]:
        """The state of each network, as NumPy arrays by name."""
        own, names = self.parameters | self.buffers, self.one.names
        arrays = {name: own[own_name].numpy(force=True) for name, own_name in names.items()}
        return [{name: array[k].copy() for name, array in arrays.items()} for k in range(len(next(iter(arrays.values()))))]

    def load_states(self, states: Sequence[Mapping[str, Array]]) -> None:
        """Copies the state of each network. Raises UserError where a name or shape is not the network's."""
        own = self.parameters | self.buffers
        for k, state in enumerate(states):
            self.network.check_state(state)
            for name, array in state.items():
                own[self.one.names[name]][k] = self.array(array)

    def train_step(self, X: Tensor, y: Tensor, lam: Array, lr: Array) -> tuple[Array, Array]:
        """One update of each at X (n, d), y (n,). `lam` (depth, C), `lr` (C,). Returns losses and costs before it, (C,)."""
        parameters = {name: parameter.detach().requires_grad_() for name, parameter in self.parameters.items()}
        _, losses, costs = self._forward(parameters, X, y, lam, training=True)
        # The cost of one network has no derivative in the parameters of another: the gradient of the sum is that of each.
        gradients = torch.autograd.grad(costs.sum(), list(parameters.values()))
        rates = self.array(lr)  # (C,)
        with torch.no_grad():  # theta <- theta - lr dJ/dtheta, as in models/sgd.py, each with its own lr
            for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
                parameter.addcmul_(gradient, rates.view(-1, *[1] * (gradient.ndim - 1)), value=-1)
        return losses.numpy(force=True), costs.numpy(force=True)

    @torch.no_grad()
    def evaluate(self, X: Array | Tensor, y: Array | Tensor, lam: Array) -> Evaluation[Array]:
        """The losses, costs and accuracies, (C,) each, at X (n, d), y (n,), in evaluation mode. `lam` is (depth, C)."""
        classes = self.array(y)  # (n,)
        logits, losses, costs = self._forward(self.parameters, self.array(X), classes, lam, training=False)
        accuracies = (logits.argmax(dim=-1) == classes).double().mean(dim=-1)  # (C,)
        return Evaluation(*(numbers.numpy(force=True) for numbers in (losses, costs, accuracies)))

    def _forward(
        self, parameters: dict[str, Tensor], X: Tensor, y: Tensor, lam: Array, training: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (C, n, K), losses (C,) and costs (C,). In training mode batch norm moves its running statistics."""
        behind_first, loss = self.behind_first.train(training), LOSSES[self.network.loss]

        def of_one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], S: Tensor) -> tuple[Tensor, Tensor]:
            logits = functional_call(behind_first, (parameters, buffers), (S,))  # (n, K)
            return logits, loss(logits, y)

        # All see the same X: the first layer is one matrix product, as in the NumPy twin; vmap would repeat X for each.
        W, b = (parameters[self.one.names[name]] for name in ("W1", "b1"))  # (C, m, d), (C, m)
        S = F.linear(X, W.flatten(end_dim=1), b.flatten()).view(len(X), *b.shape)  # (n, C, m)
        logits, losses = vmap(of_one, in_dims=(0, 0, 1))(parameters, self.buffers, S)
        weights = [parameters[self.one.names[f"W{layer}"]] for layer in range(1, self.network.depth + 1)]
        return logits, losses, losses + l2_penalty(weights, self.array(np.asarray(lam)))
