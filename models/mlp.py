"""The network in PyTorch: an ordinary `nn.Sequential` of `nn.Linear`, `nn.BatchNorm1d` and `nn.ReLU`.

Read beside `manual/mlp.py`, its twin in NumPy: both classes answer to the same names.
"""

import torch
from torch import nn
from torch.func import functional_call

from gradcheck.per_layer import lambda_per_layer
from gradcheck.subject import CostAndGradients
from models import losses
from models.augment import flip
from models.sequential import sequential, state_names
from models.sgd import sgd
from models.signals import capture_signals
from networks import Evaluation

LOSS = {
    "softmax": losses.softmax_cross_entropy,
    "sigmoid": losses.binary_cross_entropy,
}


class MLP(nn.Module):
    """A network of `networks.py` with its state, a dict of arrays; `dtype` is that of every parameter and statistic.

    `layers` is the plain `nn.Sequential`; `names` maps our name of each parameter to its own, "W1" to "0.weight".
    """

    def __init__(self, network, state, dtype=torch.float64, device="cpu"):
        super().__init__()
        self.network = network
        self.layers = sequential(network).to(device=device, dtype=dtype)
        self.names = state_names(network)
        self.load_state(state)

    def load_state(self, state):
        """Copies parameters and statistics, by name. Raises UserError where a name or shape is not the network's."""
        self.network.check_state(state)
        own = self.layers.state_dict()
        with torch.no_grad():
            for name, array in state.items():
                own[self.names[name]].copy_(torch.as_tensor(array))

    def state(self):
        """A copy of parameters and statistics as NumPy arrays, by name."""
        own = self.layers.state_dict()
        return {name: own[own_name].numpy(force=True).copy() for name, own_name in self.names.items()}

    def array(self, array):
        """A NumPy array as a tensor where the network is, without a copy if it can: floats in the network's dtype."""
        weight = next(self.layers.parameters())
        tensor = torch.as_tensor(array, device=weight.device)
        return tensor.to(weight.dtype) if tensor.is_floating_point() else tensor

    def to_numpy(self, tensor):
        """The same numbers as a NumPy array."""
        return tensor.numpy(force=True)

    def forward(self, X, training=False):
        """Logits (n, K). In training mode batch norm uses the batch X (n, d) and moves its running statistics."""
        return self.layers.train(training)(self.array(X))

    def cost_and_gradients(self, X, y, lam):
        """Training mode at X (n, d), y (n,); changes no parameter and no statistic."""
        parameters = {name: p.detach().requires_grad_() for name, p in self.layers.named_parameters()}
        buffers = {name: b.clone() for name, b in self.layers.named_buffers()}
        logits = functional_call(self.layers.train(), parameters | buffers, self.array(X))  # (n, K)
        loss = LOSS[self.network.loss](logits, self.array(y))
        cost = loss + self._penalty(parameters, lam)
        shapes = self.network.parameter_shapes()
        gradients = torch.autograd.grad(cost, [parameters[self.names[name]] for name in shapes])
        gradients = {name: gradient.numpy(force=True) for name, gradient in zip(shapes, gradients, strict=True)}
        return CostAndGradients(logits.numpy(force=True), loss.item(), cost.item(), gradients)

    def batch(self, X, y, rows, flipped=None):
        """Those `rows` (n,) of X and y, with the images where `flipped` (n,) is true mirrored."""
        rows = self.array(rows)
        batch = X[rows]  # (n, d)
        if flipped is not None:
            batch = flip(batch, self.array(flipped))
        return batch, y[rows]

    def train_step(self, X, y, lam, lr):
        """One update at X (n, d), y (n,), in training mode and in place. Returns loss and cost before it."""
        parameters = dict(self.layers.named_parameters())
        loss = LOSS[self.network.loss](self(X, training=True), y)
        cost = loss + self._penalty(parameters, lam)
        gradients = torch.autograd.grad(cost, parameters.values())
        sgd(parameters, dict(zip(parameters, gradients, strict=True)), lr)
        return loss.item(), cost.item()

    @torch.no_grad()
    def evaluate(self, X, y, lam):
        """Loss, cost and accuracy at X (n, d), y (n,), in evaluation mode."""
        logits, y = self(X), self.array(y)  # (n, K)
        loss = LOSS[self.network.loss](logits, y)
        cost = loss + self._penalty(dict(self.layers.named_parameters()), lam)
        return Evaluation(loss.item(), cost.item(), (logits.argmax(dim=-1) == y).double().mean().item())

    @torch.no_grad()
    def activations(self, X):
        """What each hidden layer hands on, A (n, m), and the logits (n, K), in evaluation mode."""
        found, A = [], self.array(X)
        for module in self.layers.eval():
            A = module(A)
            if isinstance(module, nn.ReLU):
                found.append(A)
        return [*found, A]

    def signals(self, X, y):
        """What flows through the network in training mode at X (n, d), y (n,): see `models/signals.py`; changes nothing."""
        y = self.array(y)
        loss = LOSS[self.network.loss]
        return capture_signals(self.layers, lambda logits: loss(logits, y), self.array(X), self.network.eps)

    def _penalty(self, parameters, lam):
        weights = [parameters[self.names[f"W{layer}"]] for layer in range(1, self.network.depth + 1)]
        return losses.l2_penalty(weights, lambda_per_layer(lam, self.network.depth))
