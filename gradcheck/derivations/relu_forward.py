"""The forward pass of a ReLU network in NumPy, as a Chain: what a pair whose layers are known is differentiated through.

S is (..., n, m): rows are examples. Complex input is taken as it comes: it branches on the real part alone.
"""

from functools import partial

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.chain import Chain


def relu_chain(parameters: dict[str, Array], X: Array, y: Array, loss: str, eps: float) -> Chain:
    """The Chain of the network with these parameters (W1, b1, [gamma1, beta1], W2, ...) at X (n, d), y (n,).

    `loss` is a key of LOSSES, `eps` is that of batch norm.
    """
    losses = LOSSES[loss]
    return Chain(
        parameters=parameters,
        X=X,
        linear=linear,
        activate=partial(activate, eps=eps),
        loss=lambda logits, rows: losses(logits, y[rows]).sum(axis=-1) / len(y),
    )


def linear(A: Array, W: Array, b: Array, out: Array | None = None) -> Array:
    """S = A W^T + b."""
    S = np.matmul(A, W.swapaxes(-1, -2), out=out)  # (..., n, m)
    return np.add(S, b[..., None, :], out=out)  # (..., n, m)


def activate(S: Array, gamma: Array | None, beta: Array | None, eps: float) -> tuple[Array, Array]:
    """Batch norm in training mode where there is a gamma, then ReLU: A, and where units are active. S is overwritten."""
    if gamma is not None and beta is not None:
        centred = np.subtract(S, S.mean(axis=-2, keepdims=True), out=S)  # (..., n, m)
        var = (centred * centred).mean(axis=-2, keepdims=True)  # (..., 1, m)
        S = np.multiply(centred, gamma[..., None, :] / np.sqrt(var + eps), out=S)  # (..., n, m)
        S = np.add(S, beta[..., None, :], out=S)  # (..., n, m)
    active = S.real > 0  # (..., n, m)
    return np.multiply(S, active, out=S), active


def softmax_cross_entropy(logits: Array, y: Array) -> Array:
    """-log p_y of each row, p = softmax(logits): (..., n)."""
    shifted = logits - logits.real.max(axis=-1, keepdims=True)  # (..., n, K)
    return np.log(np.exp(shifted).sum(axis=-1)) - shifted[..., np.arange(len(y)), y]  # (..., n)


def binary_cross_entropy(logits: Array, y: Array) -> Array:
    """The mean over the classes of -log p for y, -log(1 - p) for the others, p = sigmoid(logits), of each row: (..., n)."""
    positive = logits.real > 0  # (..., n, K)
    softplus = logits * positive + np.log1p(np.exp(np.where(positive, -logits, logits)))  # (..., n, K)
    return (softplus.sum(axis=-1) - logits[..., np.arange(len(y)), y]) / logits.shape[-1]  # (..., n)


LOSSES = {"softmax": softmax_cross_entropy, "sigmoid": binary_cross_entropy}
