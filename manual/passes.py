"""The layers of a network one after another, forward, then backward in the opposite order.

`parameters` and `statistics` are arrays by name, X is (n, d), y (n,) holds the class of each row, and `lam` one number a
layer. Parameters may have a leading axis (C,), and then so does everything that is computed from them: networks stacked, or
one network at several points; lambda may be (C,) a layer too. `out` maps names to arrays to write into, those of a `Workspace`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gradcheck.arrays import Array
from manual import layers, losses
from manual.layers import LinearCache, NormCache
from manual.losses import LossCache
from networks import Network

# Where nothing is to be written into, every result is a new array.
NEW_ARRAYS: Mapping[str, Array] = MappingProxyType({})


class Caches(NamedTuple):
    """What a forward pass leaves for the backward pass, by layer.

    `activation` holds the cache of the batch norm, or None without one, and where the units of the ReLU are active.
    """

    linear: dict[int, LinearCache]
    activation: dict[int, tuple[NormCache | None, Array]]


def loss_forward(loss: str, logits: Array, y: Array) -> tuple[Array, LossCache]:
    """The named loss and its cache."""
    if loss == "softmax":
        return losses.softmax_cross_entropy_forward(logits, y)
    return losses.binary_cross_entropy_forward(logits, y)


def loss_backward(loss: str, cache: LossCache) -> Array:
    """dJ/dlogits (n, K) of the named loss."""
    if loss == "softmax":
        return losses.softmax_cross_entropy_backward(cache)
    return losses.binary_cross_entropy_backward(cache)


def activate(
    S: Array,
    gamma: Array | None,
    beta: Array | None,
    eps: float,
    out: Array | None = None,
    S_hat: Array | None = None,
    active: Array | None = None,
) -> tuple[Array, tuple[NormCache | None, Array], tuple[Array, Array] | None]:
    """A hidden layer behind its linear map, in training mode: batch norm if there is a gamma, then ReLU.

    S is (..., n, m). Returns A (..., n, m), the caches of both, and the batch's (mean, var) or None. `out`, `S_hat` and
    `active` may be arrays to write into, as for the layers.
    """
    if gamma is None or beta is None:
        A, active = layers.relu_forward(S, out, active)  # (n, m)
        return A, (None, active), None
    S_tilde, norm_cache, batch_statistics = layers.batch_norm_forward(S, gamma, beta, eps, out, S_hat)  # (n, m)
    A, active = layers.relu_forward(S_tilde, out, active)  # (n, m)
    return A, (norm_cache, active), batch_statistics


def forward(
    network: Network, parameters: Mapping[str, Array], X: Array, out: Mapping[str, Array] = NEW_ARRAYS
) -> tuple[Array, Caches, dict[int, tuple[Array, Array]]]:
    """Training mode. Returns logits (n, K), the caches, and the batch's (mean, var) by layer, if there is batch norm."""
    p, A = parameters, X
    caches, batch_statistics = Caches({}, {}), {}
    for layer in range(1, network.depth + 1):
        S, caches.linear[layer] = layers.linear_forward(A, p[f"W{layer}"], p[f"b{layer}"], out.get(f"S{layer}"))  # (n, m)
        if layer < network.depth:
            # Nothing needs S behind its activation: S_hat takes its place.
            arrays = out.get(f"A{layer}"), out.get(f"S{layer}"), out.get(f"active{layer}")
            gamma, beta = p.get(f"gamma{layer}"), p.get(f"beta{layer}")
            A, caches.activation[layer], statistics = activate(S, gamma, beta, network.eps, *arrays)  # (n, m)
            if statistics is not None:
                batch_statistics[layer] = statistics
    return S, caches, batch_statistics


def penalty(
    network: Network,
    parameters: Mapping[str, Array],
    lam: Sequence[float] | Array,
    out: Mapping[str, Array] = NEW_ARRAYS,
) -> Array:
    """sum_l lambda_l sum W_l^2; biases, gamma and beta are never penalised."""
    all_layers = range(1, network.depth + 1)
    weights, scratch = [parameters[f"W{layer}"] for layer in all_layers], [out.get(f"scratch{layer}") for layer in all_layers]
    return losses.l2_penalty_forward(weights, lam, scratch)


def cost(network: Network, parameters: Mapping[str, Array], X: Array, y: Array, lam: Sequence[float] | Array) -> Array:
    """J = mean loss + penalty, in training mode, for any parameters: complex ones, or with leading axes."""
    logits, _, _ = forward(network, parameters, X)
    loss, _ = loss_forward(network.loss, logits, y)
    return loss + penalty(network, parameters, lam)


def backward(
    network: Network,
    parameters: Mapping[str, Array],
    caches: Caches,
    loss_cache: LossCache,
    lam: Sequence[float] | Array,
    out: Mapping[str, Array] = NEW_ARRAYS,
) -> dict[str, Array]:
    """dJ/d(parameter) by name, in the order of the forward pass, from what the forward pass left in its caches."""
    gradients = {}
    dS = loss_backward(network.loss, loss_cache)  # (n, K)
    for layer in range(network.depth, 0, -1):
        below = layer - 1
        cache, W = caches.linear[layer], parameters[f"W{layer}"]
        dW, gradients[f"b{layer}"] = layers.linear_backward(dS, cache, out.get(f"dW{layer}"))  # (m, d), (m,)
        dpenalty = losses.l2_penalty_backward(W, lam[below], out.get(f"scratch{layer}"))  # (m, d)
        gradients[f"W{layer}"] = np.add(dW, dpenalty, out=out.get(f"dW{layer}"))  # (m, d)
        if layer > 1:
            norm_cache, active = caches.activation[below]
            dA = layers.linear_backward_input(dS, cache, out.get(f"dA{below}"))  # (n, d)
            dS = layers.relu_backward(dA, active, out.get(f"dA{below}"))  # (n, d)
            if norm_cache is not None:
                dS, dgamma, dbeta = layers.batch_norm_backward(dS, norm_cache, out.get(f"dS{below}"))  # (n, d), (d,), (d,)
                gradients[f"gamma{below}"], gradients[f"beta{below}"] = dgamma, dbeta
    return {name: gradients[name] for name in parameters}


def evaluate_layers(
    network: Network, parameters: Mapping[str, Array], statistics: Mapping[str, Array], X: Array
) -> list[Array]:
    """Evaluation mode: what each hidden layer hands on, A (n, m), and at the end the logits (n, K)."""
    p, A, outputs = parameters, X, []
    for layer in range(1, network.depth + 1):
        S, _ = layers.linear_forward(A, p[f"W{layer}"], p[f"b{layer}"])  # (n, m)
        if layer < network.depth:
            if network.batch_norm:
                running = statistics[f"running_mean{layer}"], statistics[f"running_var{layer}"]  # (m,), (m,)
                S = layers.batch_norm_evaluate(S, p[f"gamma{layer}"], p[f"beta{layer}"], *running, network.eps)  # (n, m)
            A, _ = layers.relu_forward(S, out=S)  # (n, m)
            outputs.append(A)
    return [*outputs, S]


def move_statistics(network: Network, statistics: Mapping[str, Array], batch_statistics: dict[int, Any], n: int) -> None:
    """Moves the running statistics, in place, towards the (mean, var) by layer of a batch of n images."""
    for layer, (mean, var) in batch_statistics.items():
        unbiased = var * (n / (n - 1))  # (m,): what nn.BatchNorm1d keeps, though it normalises by the biased one
        for statistic, batch in ((f"running_mean{layer}", mean), (f"running_var{layer}", unbiased)):
            running = statistics[statistic]
            running[...] = layers.update_running(running, batch, network.momentum)
