"""Several networks of one shape at once, in PyTorch: `torch.func.vmap` of the very module that one network is, behind layer 1.

Read beside `manual/stack.py`, its twin in NumPy: both classes answer to the same names.
"""

import numpy as np
import torch
from torch.func import functional_call, vmap
from torch.nn import functional as F

from models.losses import l2_penalty
from models.mlp import LOSS, MLP
from networks import Evaluation


class Stack:
    """C networks of one shape, each from its own state of the list `states`; they see the same batches."""

    def __init__(self, network, states, dtype=torch.float64, device="cpu"):
        self.network = network
        self.one = MLP(network, states[0], dtype, device)
        self.array, self.batch, self.to_numpy = self.one.array, self.one.batch, self.one.to_numpy
        own = [MLP(network, state, dtype, device).layers.state_dict() for state in states]
        stacked = {name: torch.stack([state[name] for state in own]) for name in own[0]}
        self.parameters = {name: stacked[name] for name, _ in self.one.layers.named_parameters()}
        self.buffers = {name: stacked[name] for name, _ in self.one.layers.named_buffers()}

    def states(self):
        """The state of each network, as NumPy arrays by name."""
        own, names = self.parameters | self.buffers, self.one.names
        arrays = {name: own[own_name].numpy(force=True) for name, own_name in names.items()}
        return [{name: array[k].copy() for name, array in arrays.items()} for k in range(len(next(iter(arrays.values()))))]

    def train_step(self, X, y, lam, lr):
        """One update of each at X (n, d), y (n,). `lam` (depth, C), `lr` (C,). Returns losses and costs before it, (C,)."""
        parameters = {name: parameter.detach().requires_grad_() for name, parameter in self.parameters.items()}
        _, losses, costs = self._forward(parameters, X, y, lam, training=True)
        # The cost of one network has no derivative in the parameters of another: the gradient of the sum is that of each.
        gradients = torch.autograd.grad(costs.sum(), parameters.values())
        lr = self.array(lr)
        with torch.no_grad():  # theta <- theta - lr dJ/dtheta, as in models/sgd.py, each with its own lr
            for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
                parameter.addcmul_(gradient, lr.view(-1, *[1] * (gradient.ndim - 1)), value=-1)
        return losses.numpy(force=True), costs.numpy(force=True)

    @torch.no_grad()
    def evaluate(self, X, y, lam):
        """The losses, costs and accuracies, (C,) each, at X (n, d), y (n,), in evaluation mode."""
        logits, losses, costs = self._forward(self.parameters, self.array(X), self.array(y), lam, training=False)
        accuracies = (logits.argmax(dim=-1) == self.array(y)).double().mean(dim=-1)
        return Evaluation(*(each.numpy(force=True) for each in (losses, costs, accuracies)))

    def _forward(self, parameters, X, y, lam, training):
        """Logits (C, n, K), losses (C,) and costs (C,). In training mode batch norm moves its running statistics."""
        layers, loss = self.one.layers.train(training), LOSS[self.network.loss]
        behind = layers[1:]

        def of_one(parameters, buffers, S):
            logits = functional_call(behind, (parameters, buffers), (S,))  # (n, K)
            return logits, loss(logits, y)

        # All see the same X: the first layer is one matrix product, as in the NumPy twin; vmap would repeat X for each.
        W, b = (parameters[self.one.names[name]] for name in ("W1", "b1"))  # (C, m, d), (C, m)
        S = F.linear(X, W.flatten(end_dim=1), b.flatten()).view(len(X), *b.shape)  # (n, C, m)
        rest = {name: parameter for name, parameter in parameters.items() if not name.startswith("0.")}
        logits, losses = vmap(of_one, in_dims=(0, 0, 1))(rest, self.buffers, S)
        weights = [parameters[self.one.names[f"W{layer}"]] for layer in range(1, self.network.depth + 1)]
        return logits, losses, losses + l2_penalty(weights, self.array(np.asarray(lam)))
