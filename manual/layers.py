"""The layers, forward and backward, in NumPy: derived by hand.

`forward(...) -> (out, cache)`, `backward(dout, cache) -> gradients`, where `dout` is dJ/dout. Rows are examples: X is
(n, d) and a trailing shape, so that arrays may carry leading axes, X (..., n, d), and parameters too, W (..., m, d).
The forwards take complex input as well, for the complex step: they branch on the real part, and never take a modulus or a
conjugate.

An argument `out` is an array to write into, as in NumPy; with None the result is a new array. Training passes those of a
`Workspace`, so that an update allocates nothing large.
"""

from typing import Any

import numpy as np

from gradcheck.arrays import Array

# What a forward leaves for its backward: X and W of a linear map; S_hat, 1 / standard deviation and gamma of a batch norm.
LinearCache = tuple[Array, Array]
NormCache = tuple[Array, Array, Array]


def transpose(A: Array) -> Array:
    """The last two axes exchanged: (..., n, d) -> (..., d, n)."""
    return A.swapaxes(-1, -2)


def along(numbers: Any, array: Array) -> Any:
    """A number as it is; numbers (C,), one for each stacked network, in the shape (C, 1, ...) that goes with `array`."""
    return numbers.reshape(-1, *[1] * (array.ndim - 1)) if np.ndim(numbers) else numbers


def product_of_all(A: Array, B: Array, out: Array | None = None) -> Array:
    """A (..., m, k) times B (k, d), the leading axes taken as more rows of A: one large product instead of many small ones."""
    rows = None if out is None else out.reshape(-1, B.shape[-1])
    return np.matmul(A.reshape(-1, A.shape[-1]), B, out=rows).reshape(*A.shape[:-1], B.shape[-1])  # (..., m, d)


def linear_forward(X: Array, W: Array, b: Array, out: Array | None = None) -> tuple[Array, LinearCache]:
    """S = X W^T + b. Stacked weights W (C, m, d) may share their X (n, d)."""
    if X.ndim < W.ndim:
        S = transpose(product_of_all(W, transpose(X), None if out is None else transpose(out)))  # (C, n, m)
    else:
        S = np.matmul(X, transpose(W), out=out)  # (n, m)
    S = np.add(S, b[..., None, :], out=out)  # (n, m)
    return S, (X, W)


def linear_backward(dS: Array, cache: LinearCache, out: Array | None = None) -> tuple[Array, Array]:
    """dJ/dW and dJ/db. From S_ij = sum_k X_ik W_jk + b_j: dJ/dW = dS^T X, dJ/db = sum over the rows of dS."""
    X, _ = cache
    product = product_of_all if X.ndim < dS.ndim else np.matmul
    dW = product(transpose(dS), X, out=out)  # (m, d)
    db = dS.sum(axis=-2)  # (m,)
    return dW, db


def linear_backward_input(dS: Array, cache: LinearCache, out: Array | None = None) -> Array:
    """dJ/dX = dS W. It is a function of its own because the first layer does not need it, and a third of the work is in it."""
    _, W = cache
    return np.matmul(dS, W, out=out)  # (n, d)


def relu_forward(S: Array, out: Array | None = None, active: Array | None = None) -> tuple[Array, Array]:
    """A = max(0, S), by the sign of the real part, and its cache: where the units are active.

    `active` is an array of bool to write the cache into.
    """
    active = np.greater(S.real, 0, out=active)  # (n, m)
    return np.multiply(S, active, out=out), active


def relu_backward(dA: Array, active: Array, out: Array | None = None) -> Array:
    """dA where the unit was active, 0 elsewhere; at exactly 0 the gradient is 0, as in PyTorch."""
    return np.multiply(dA, active, out=out)  # (n, m)


def batch_norm_forward(
    S: Array, gamma: Array, beta: Array, eps: float, out: Array | None = None, S_hat: Array | None = None
) -> tuple[Array, NormCache, tuple[Array, Array]]:
    """Training mode: each column of S is normalised by its own mean and biased variance over the rows.

    Returns S_tilde, (S_hat, inv_std, gamma), (mean, var). The variance is the mean square, not `np.var`, which would take a
    modulus of complex input and lose its derivative. `S_hat` may be an array to write into, even S itself.
    """
    mean = S.mean(axis=-2)  # (m,)
    centred = np.subtract(S, mean[..., None, :], out=S_hat)  # (n, m)
    var = np.multiply(centred, centred, out=out).mean(axis=-2)  # (m,)
    inv_std = 1 / np.sqrt(var + eps)  # (m,)
    S_hat = np.multiply(centred, inv_std[..., None, :], out=S_hat)  # (n, m)
    scaled = np.multiply(S_hat, gamma[..., None, :], out=out)  # (n, m)
    S_tilde = np.add(scaled, beta[..., None, :], out=out)  # (n, m)
    return S_tilde, (S_hat, inv_std, gamma), (mean, var)


def batch_norm_backward(dout: Array, cache: NormCache, out: Array | None = None) -> tuple[Array, Array, Array]:
    """dJ/dS, dJ/dgamma and dJ/dbeta, from dout = dJ/dS_tilde.

    dJ/dS goes through S_hat, the mean and the variance (Ioffe and Szegedy 2015, section 3, with the sums collected):
    dS = gamma inv_std (dout - mean(dout) - S_hat mean(dout S_hat)), where all means are over the rows of the batch.
    """
    S_hat, inv_std, gamma = cache
    n = dout.shape[-2]
    dgamma = np.multiply(dout, S_hat, out=out).sum(axis=-2)  # (m,)
    dbeta = dout.sum(axis=-2)  # (m,)
    through_var = np.multiply(S_hat, (dgamma / n)[..., None, :], out=out)  # (n, m)
    dS = np.subtract(dout, through_var, out=out)  # (n, m)
    dS = np.subtract(dS, (dbeta / n)[..., None, :], out=out)  # (n, m)
    dS = np.multiply(dS, (gamma * inv_std)[..., None, :], out=out)  # (n, m)
    return dS, dgamma, dbeta


def batch_norm_evaluate(S: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float) -> Array:
    """Evaluation mode: the running statistics in the place of those of the batch."""
    inv_std = 1 / np.sqrt(running_var + eps)  # (m,)
    return (S - running_mean[..., None, :]) * (inv_std * gamma)[..., None, :] + beta[..., None, :]  # (n, m)


def update_running(running: Array, batch: Array, momentum: float) -> Array:
    """running <- (1 - momentum) running + momentum batch, as `nn.BatchNorm1d` weighs it."""
    return (1 - momentum) * running + momentum * batch  # (m,)
