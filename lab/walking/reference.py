"""What a twin or a stack of them should do, in plain PyTorch: autograd derives every gradient.

It shares no line with `manual/` and `models/`, because both of them are under test. Each array of a state has a leading axis
(C,), one entry a network.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from networks import Network

# Parameters and running statistics, by name, (C, ...) each.
Tensors = Mapping[str, Tensor]


class Batch(NamedTuple):
    """The images X (n, d) and classes y (n,) of an update, where the reference computes; lam is (depth, C)."""

    X: Tensor
    y: Tensor
    lam: Tensor

    def to(self, dtype: torch.dtype) -> "Batch":
        return Batch(self.X.to(dtype), self.y, self.lam.to(dtype))


class Outcome(NamedTuple):
    """What a pass computed: `values` by name, (C, ...) each, and the hidden layers' `inputs` to their ReLUs, (C, n, m) each."""

    values: dict[str, Tensor]
    inputs: list[Tensor]


# Numbers of the shape of a tensor, to be added to one that is about 1: its rounding. None adds nothing.
Noise = Callable[[Tensor], Tensor] | None


def update(network: Network, state: Tensors, batch: Batch, noise: Noise = None) -> Outcome:
    """An update in training mode: the values are loss, cost, each gradient, and the running statistics after it.

    dJ/dlogits is a mean of differences of probabilities and labels, which are up to 1: `noise` is that of these differences.
    """
    parameters = {name: state[name].detach().requires_grad_() for name in network.parameter_shapes()}
    logits, inputs, statistics = forward(network, {**state, **parameters}, batch.X, training=True)
    if noise:
        terms = len(batch.y) * (1 if network.loss == "softmax" else network.outputs)
        logits.register_hook(lambda difference: difference + noise(difference) / terms)
    losses, costs = losses_and_costs(network, parameters, logits, batch)
    gradients = torch.autograd.grad(costs.sum(), list(parameters.values()))
    values = {"loss": losses, "cost": costs} | dict(zip(parameters, gradients, strict=True)) | statistics
    return detached(values, inputs)


@torch.no_grad()
def evaluation(network: Network, state: Tensors, batch: Batch, noise: Noise = None) -> Outcome:
    """A pass in evaluation mode: the values are loss, cost, what each hidden layer hands on, "A1" and so on, and "logits"."""
    logits, inputs, _ = forward(network, state, batch.X, training=False)
    losses, costs = losses_and_costs(network, state, logits, batch)
    activations = {f"A{layer}": S.relu() for layer, S in enumerate(inputs, start=1)}
    return detached({"loss": losses, "cost": costs} | activations | {"logits": logits}, inputs)


def forward(network: Network, state: Tensors, X: Tensor, training: bool) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Logits (C, n, K), the inputs of the ReLUs, and in training mode the running statistics after this batch."""
    A, inputs, moved = X, [], {}
    for layer in range(1, network.depth):
        S, statistics = relu_input(network, state, layer, A, training)  # (C, n, m)
        inputs.append(S)
        moved |= statistics
        A = S.relu()
    return linear(state, network.depth, A), inputs, moved


def linear(state: Tensors, layer: int, A: Tensor) -> Tensor:
    """S = A W^T + b (C, n, m), of A (C, n, d), or of X (n, d) that all networks see."""
    W, b = state[f"W{layer}"], state[f"b{layer}"]  # (C, m, d), (C, m)
    if A.ndim == 2:
        return F.linear(A, W.flatten(end_dim=1), b.flatten()).view(len(A), *b.shape).transpose(0, 1)
    return torch.baddbmm(b[:, None, :], A, W.mT)


def relu_input(network: Network, state: Tensors, layer: int, A: Tensor, training: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """What goes into the ReLU of a layer, (C, n, m), and in training mode the running statistics of its batch norm after it."""
    S = linear(state, layer, A)
    if not network.batch_norm:
        return S, {}
    names, n = (f"running_mean{layer}", f"running_var{layer}"), S.shape[1]
    mean, var, moved = state[names[0]], state[names[1]], {}  # (C, m) each
    if training:
        mean, var = S.mean(dim=1), S.var(dim=1, correction=0)
        for name, of_batch in zip(names, (mean, var * n / (n - 1)), strict=True):
            moved[name] = (1 - network.momentum) * state[name] + network.momentum * of_batch
    S_hat = (S - mean[:, None, :]) / (var + network.eps).sqrt()[:, None, :]
    return S_hat * state[f"gamma{layer}"][:, None, :] + state[f"beta{layer}"][:, None, :], moved


def losses_and_costs(network: Network, parameters: Tensors, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The losses and costs, (C,) each, of logits (C, n, K)."""
    classes = batch.y.expand(logits.shape[:2])  # (C, n)
    if network.loss == "softmax":
        losses = F.cross_entropy(logits.mT, classes, reduction="none").mean(dim=1)
    else:
        Y = F.one_hot(classes, logits.shape[-1]).to(logits.dtype)  # (C, n, K)
        losses = F.binary_cross_entropy_with_logits(logits, Y, reduction="none").mean(dim=(1, 2))
    penalties = [lam_l * parameters[f"W{l}"].square().sum(dim=(1, 2)) for l, lam_l in enumerate(batch.lam, start=1)]
    return losses, losses + torch.stack(penalties).sum(dim=0)


def detached(values: Mapping[str, Tensor], inputs: list[Tensor]) -> Outcome:
    return Outcome({name: value.detach() for name, value in values.items()}, [S.detach() for S in inputs])
