"""The losses and the penalty, forward and backward, in NumPy: derived by hand.

`logits` is (..., n, K), `y` (n,) holds the class of each row. A loss is the mean over the n rows. The forwards take
complex logits and leading axes, like those of `manual/layers.py`. Each returns the loss and the cache of its backward.
"""

from collections.abc import Sequence

import numpy as np

from gradcheck.arrays import Array
from manual.layers import along

# Of softmax: e^shifted, its sums and y; of the sigmoid: e^-|s|, where s is positive, and y.
LossCache = tuple[Array, Array, Array]


def softmax_cross_entropy_forward(logits: Array, y: Array) -> tuple[Array, LossCache]:
    """Mean of -log p_y with p = softmax(logits), from the logits shifted so that the largest is 0."""
    shifted = logits - logits.real.max(axis=-1, keepdims=True)  # (n, K)
    exp = np.exp(shifted)  # (n, K)
    Z = exp.sum(axis=-1)  # (n,)
    losses = np.log(Z) - shifted[..., np.arange(len(y), like=y), y]  # (n,)
    return losses.mean(axis=-1), (exp, Z, y)


def softmax_cross_entropy_backward(cache: LossCache) -> Array:
    """dJ/dlogits = (P - Y) / n."""
    exp, Z, y = cache
    dlogits = exp / Z[..., None]  # (n, K)
    dlogits[..., np.arange(len(y), like=y), y] -= 1
    return dlogits / len(y)  # (n, K)


def binary_cross_entropy_forward(logits: Array, y: Array) -> tuple[Array, LossCache]:
    """Mean over rows and classes of -y log p - (1-y) log(1-p) with p = sigmoid(logits).

    That is log(1 + e^s) - y s, with log(1 + e^s) = max(0, s) + log(1 + e^-|s|), where nothing overflows.
    """
    K = logits.shape[-1]
    positive = logits.real > 0  # (n, K)
    exp = np.exp(np.where(positive, -logits, logits))  # (n, K)
    softplus = logits * positive + np.log1p(exp)  # (n, K)
    losses = softplus.sum(axis=-1) - logits[..., np.arange(len(y), like=y), y]  # (n,)
    return losses.mean(axis=-1) / K, (exp, positive, y)


def binary_cross_entropy_backward(cache: LossCache) -> Array:
    """dJ/dlogits = (P - Y) / (n K)."""
    exp, positive, y = cache
    dlogits = np.where(positive, 1, exp) / (1 + exp)  # (n, K)
    dlogits[..., np.arange(len(y), like=y), y] -= 1
    n, K = dlogits.shape[-2:]
    return dlogits / (n * K)  # (n, K)


def l2_penalty_forward(
    weights: Sequence[Array], lam: Sequence[float] | Array, out: Sequence[Array | None] | None = None
) -> Array:
    """sum_l lam_l sum_ij W_l,ij^2: no 1/2 and no 1/n. `out` holds an array like each weight, or None, to write into.

    `lam` holds one number a layer, or one array (C,) a layer, for stacked weights (C, m, d).
    """
    out = out or [None] * len(weights)
    return sum(
        lam_l * np.multiply(W, W, out=squares).sum(axis=(-2, -1)) for W, lam_l, squares in zip(weights, lam, out, strict=True)
    )


def l2_penalty_backward(W: Array, lam_l: float | Array, out: Array | None = None) -> Array:
    """d(lam_l sum W^2)/dW = 2 lam_l W."""
    return np.multiply(W, along(2 * lam_l, W), out=out)  # (m, d)
