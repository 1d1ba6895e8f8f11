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


# Numbers of the shape of a tensor: the rounding of numbers that are about 1. With None a pass is as exact as its dtype.
Noise = Callable[[Tensor], Tensor] | None


def update(network: Network, state: Tensors, batch: Batch, noise: Noise = None) -> Outcome:
    """An update in training mode: the values are loss, cost, each gradient, and the running statistics after it.

    Its own rounding does not show where terms cancel here and not in the twin: `noise` is added to what cancels.
    """
    parameters = {name: state[name].detach().requires_grad_() for name in network.parameter_shapes()}
    logits, inputs, statistics = forward(network, {**state, **parameters}, batch.X, True, noise)
    if noise:  # dJ/dlogits is a mean of differences of probabilities and labels, which are up to 1
        terms = len(batch.y) * (1 if network.loss == "softmax" else network.outputs)
        logits.register_hook(lambda difference: difference + noise(difference) / terms)
    losses, costs = losses_and_costs(network, parameters, logits, batch, noise)
    gradients = torch.autograd.grad(costs.sum(), list(parameters.values()))
    values = {"loss": losses, "cost": costs} | dict(zip(parameters, gradients, strict=True)) | statistics
    return detached(values, inputs)


@torch.no_grad()
def evaluation(network: Network, state: Tensors, batch: Batch, noise: Noise = None) -> Outcome:
    """A pass in evaluation mode: the values are loss, cost, what each hidden layer hands on, "A1" and so on, and "logits"."""
    logits, inputs, _ = forward(network, state, batch.X, False, noise)
    losses, costs = losses_and_costs(network, state, logits, batch, noise)
    activations = {f"A{layer}": S.relu() for layer, S in enumerate(inputs, start=1)}
    return detached({"loss": losses, "cost": costs} | activations | {"logits": logits}, inputs)


@torch.no_grad()
def training_pass(network: Network, state: Tensors, batch: Batch, noise: Noise = None) -> Outcome:
    """A forward pass in training mode: the values are "logits" and the running statistics after it."""
    logits, inputs, statistics = forward(network, state, batch.X, True, noise)
    return detached({"logits": logits} | statistics, inputs)


def forward(
    network: Network, state: Tensors, X: Tensor, training: bool, noise: Noise = None
) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Logits (C, n, K), the inputs of the ReLUs, and in training mode the running statistics after this batch."""
    A, inputs = X, []
    moved: dict[str, Tensor] = {}
    for layer in range(1, network.depth):
        S, statistics = relu_input(network, state, layer, A, training, noise)  # (C, n, m)
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


def relu_input(
    network: Network, state: Tensors, layer: int, A: Tensor, training: bool, noise: Noise = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """What goes into the ReLU of a layer, (C, n, m), and in training mode the running statistics of its batch norm after it."""
    S = linear(state, layer, A)
    if noise:
        S = S * (1 + noise(S))
    if not network.batch_norm:
        return S, {}
    names, n = (f"running_mean{layer}", f"running_var{layer}"), S.shape[1]
    mean, var, moved = state[names[0]], state[names[1]], {}  # (C, m) each
    if training:
        mean, var = S.mean(dim=1), S.var(dim=1, correction=0)
        if noise:  # that of a sum of n terms, one after another
            mean, var = (number * (1 + (n / 3) ** 0.5 * noise(number)) for number in (mean, var))
        for name, of_batch in zip(names, (mean, var * n / (n - 1)), strict=True):
            moved[name] = (1 - network.momentum) * state[name] + network.momentum * of_batch
    std = (var + network.eps).sqrt()[:, None, :]  # (C, 1, m)
    S_hat, gamma = (S - mean[:, None, :]) / std, state[f"gamma{layer}"][:, None, :]
    S_tilde = S_hat * gamma + state[f"beta{layer}"][:, None, :]
    if noise and S.requires_grad:
        # S_hat is as exact as S, which may be large beside its deviation.
        exactness = 1 + (S.abs().amax(dim=1, keepdim=True) / std).detach()  # (C, 1, m)
        add_noise_to_difference(S, S_tilde, (gamma / std).detach(), exactness, noise)
    return S_tilde, moved


def add_noise_to_difference(
    S: Tensor, S_tilde: Tensor, scale: Tensor, exactness: Tensor, noise: Callable[[Tensor], Tensor]
) -> None:
    """Behind a batch norm dJ/dS is a difference of dJ/dS_tilde times `scale` and its means, and may cancel to 0.

    What is subtracted is off by up to `exactness` units, (C, 1, m).
    """
    rounding: list[Tensor] = []

    def note(d: Tensor) -> None:
        size, mean = (scale * d).abs().amax(dim=1, keepdim=True), (scale * d).mean(dim=1, keepdim=True)  # (C, 1, m) each
        rounding.append(noise(d) * size * exactness + noise(mean) * mean * (d.shape[1] / 3) ** 0.5)

    S_tilde.register_hook(note)
    S.register_hook(lambda d: d + rounding.pop())


def losses_and_costs(
    network: Network, parameters: Tensors, logits: Tensor, batch: Batch, noise: Noise
) -> tuple[Tensor, Tensor]:
    """The losses and costs, (C,) each, of logits (C, n, K)."""
    classes = batch.y.expand(logits.shape[:2])  # (C, n)
    if network.loss == "softmax":
        losses = F.cross_entropy(logits.mT, classes, reduction="none").mean(dim=1)
    else:
        Y = F.one_hot(classes, logits.shape[-1]).to(logits.dtype)  # (C, n, K)
        losses = F.binary_cross_entropy_with_logits(logits, Y, reduction="none").mean(dim=(1, 2))
    if noise:  # a loss is a difference of numbers as large as the logits, and log(1 + 0) is as exact as its 1
        losses = losses + noise(losses) * (1 + logits.detach().abs().amax(dim=(1, 2)))
    weights = [parameters[f"W{layer}"] for layer in range(1, network.depth + 1)]
    penalties = [lam_l * W.square().sum(dim=(1, 2)) for lam_l, W in zip(batch.lam, weights, strict=True)]
    return losses, losses + torch.stack(penalties).sum(dim=0)


def detached(values: Mapping[str, Tensor], inputs: list[Tensor]) -> Outcome:
    return Outcome({name: value.detach() for name, value in values.items()}, [S.detach() for S in inputs])
