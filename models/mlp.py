"""The network in PyTorch: an ordinary `nn.Sequential` of `nn.Linear`, `nn.BatchNorm1d` and `nn.ReLU`.

Read beside `manual/mlp.py`, its twin in NumPy: both classes answer to the same names.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gradcheck.arrays import Array
from gradcheck.per_layer import Lambda
from gradcheck.signals import Signals
from gradcheck.subject import CostAndGradients
from models.augment import flip
from models.losses import LOSSES, l2_penalty
from models.sequential import build_sequential, state_names
from models.sgd import sgd_step
from models.signals import capture_signals
from networks import Evaluation, Network


class MLP(nn.Module):
    """A network of `networks.py` with its state, arrays by name; `dtype` is that of every parameter and statistic.

    `layers` is the plain `nn.Sequential`; `names` maps our name of each parameter and statistic to its own, "W1" to
    "0.weight". Where a method takes X or y, it takes an array or a tensor.
    """

    def __init__(
        self, network: Network, state: Mapping[str, Array], dtype: torch.dtype = torch.float64, device: str = "cpu"
    ) -> None:
        super().__init__()
        self.network = network
        self.layers = build_sequential(network).to(device=device, dtype=dtype)
        self.names = state_names(network)
        self.load_state(state)

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Copies parameters and statistics, by name. Raises UserError where a name or shape is not the network's."""
        self.network.check_state(state)
        own = self.layers.state_dict()
        with torch.no_grad():
            for name, array in state.items():
                own[self.names[name]].copy_(torch.as_tensor(array))

    def state(self) -> dict[str, Array]:
        """A copy of parameters and statistics as NumPy arrays, by name."""
        own = self.layers.state_dict()
        return {name: own[own_name].numpy(force=True).copy() for name, own_name in self.names.items()}

    def array(self, array: Array | Tensor) -> Tensor:
        """A NumPy array as a tensor where the network is, without a copy if it can: floats in the network's dtype."""
        weight = next(self.layers.parameters())
        tensor = torch.as_tensor(array, device=weight.device)
        return tensor.to(weight.dtype) if tensor.is_floating_point() else tensor

    def to_numpy(self, tensor: Tensor) -> Array:
        """The same numbers as a NumPy array."""
        return tensor.numpy(force=True)

    def forward(self, X: Array | Tensor, training: bool = False) -> Tensor:
        """Logits (n, K). In training mode batch norm uses the batch X (n, d) and moves its running statistics."""
        return self.layers.train(training)(self.array(X))

    def cost_and_gradients(self, X: Array | Tensor, y: Array | Tensor, lam: Lambda) -> CostAndGradients:
        """Training mode at X (n, d), y (n,); changes no parameter and no statistic. Returns NumPy arrays and numbers."""
        lam = self.network.lambdas(lam)
        parameters = {name: p.detach().requires_grad_() for name, p in self.layers.named_parameters()}
        buffers = {name: b.clone() for name, b in self.layers.named_buffers()}
        logits = functional_call(self.layers.train(), parameters | buffers, self.array(X))  # (n, K)
        loss = LOSSES[self.network.loss](logits, self.array(y))
        cost = loss + self._penalty(parameters, lam)
        shapes = self.network.parameter_shapes()
        gradients = torch.autograd.grad(cost, [parameters[self.names[name]] for name in shapes])
        by_name = {name: gradient.numpy(force=True) for name, gradient in zip(shapes, gradients, strict=True)}
        return CostAndGradients(logits.numpy(force=True), loss.item(), cost.item(), by_name)

    def batch(self, X: Tensor, y: Tensor, rows: Array, flipped: Array | None = None) -> tuple[Tensor, Tensor]:
        """Those `rows` (n,) of X and y, with the images where `flipped` (n,) is true mirrored."""
        chosen = self.array(rows)
        batch = X[chosen]  # (n, d)
        if flipped is not None:
            batch = flip(batch, self.array(flipped))
        return batch, y[chosen]

    def train_step(self, X: Tensor, y: Tensor, lam: Sequence[float], lr: float) -> tuple[float, float]:
        """One update at X (n, d), y (n,), in training mode and in place, with one lambda a layer.

        Returns loss and cost before it.
        """
        parameters = dict(self.layers.named_parameters())
        loss = LOSSES[self.network.loss](self(X, training=True), y)
        cost = loss + self._penalty(parameters, lam)
        gradients = torch.autograd.grad(cost, list(parameters.values()))
        sgd_step(parameters, dict(zip(parameters, gradients, strict=True)), lr)
        return loss.item(), cost.item()

    @torch.no_grad()
    def evaluate(self, X: Array | Tensor, y: Array | Tensor, lam: Sequence[float]) -> Evaluation[float]:
        """Loss, cost and accuracy at X (n, d), y (n,), in evaluation mode."""
        logits, classes = self(X), self.array(y)  # (n, K), (n,)
        loss = LOSSES[self.network.loss](logits, classes)
        cost = loss + self._penalty(dict(self.layers.named_parameters()), lam)
        return Evaluation(loss.item(), cost.item(), (logits.argmax(dim=-1) == classes).double().mean().item())

    @torch.no_grad()
    def activations(self, X: Array | Tensor) -> list[Tensor]:
        """What each hidden layer hands on, A (n, m), and the logits (n, K), in evaluation mode."""
        outputs, A = [], self.array(X)
        for module in self.layers.eval():
            A = module(A)
            if isinstance(module, nn.ReLU):
                outputs.append(A)
        return [*outputs, A]

    def signals(self, X: Array | Tensor, y: Array | Tensor) -> Signals:
        """What flows through the network in training mode at X (n, d), y (n,): see `models/signals.py`; changes nothing."""
        loss, classes = LOSSES[self.network.loss], self.array(y)
        return capture_signals(self.layers, lambda logits: loss(logits, classes), self.array(X), self.network.eps)

    def _penalty(self, parameters: Mapping[str, Tensor], lam: Sequence[float]) -> Tensor:
        weights = [parameters[self.names[f"W{layer}"]] for layer in range(1, self.network.depth + 1)]
        return l2_penalty(weights, lam)
