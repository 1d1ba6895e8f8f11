"""The layers, forward and backward, in NumPy: derived by hand.

`forward(...) -> (out, cache)`, `backward(dout, cache) -> gradients`, where `dout` is dJ/dout. Rows are examples: X is
(n, d) and a trailing shape, so that arrays may carry leading axes, X (..., n, d), and parameters too, W (..., m, d).
The forwards take complex input as well, for the complex step: they branch on the real part, and never take a modulus or a
conjugate.
"""

import numpy as np


def transpose(A):
    """The last two axes exchanged: (..., n, d) -> (..., d, n)."""
    return A.swapaxes(-1, -2)


def linear_forward(X, W, b):
    """S = X W^T + b."""
    S = X @ transpose(W) + b[..., None, :]  # (n, m)
    return S, (X, W)


def linear_backward(dS, cache):
    """From S_ij = sum_k X_ik W_jk + b_j: dJ/dX = dS W, dJ/dW = dS^T X, dJ/db = sum over the rows of dS."""
    X, W = cache
    dX = dS @ W  # (n, d)
    dW = transpose(dS) @ X  # (m, d)
    db = dS.sum(axis=-2)  # (m,)
    return dX, dW, db


def relu_forward(S):
    """A = max(0, S), by the sign of the real part."""
    active = S.real > 0  # (n, m)
    return S * active, active


def relu_backward(dA, active):
    """dA where the unit was active, 0 elsewhere; at exactly 0 the gradient is 0, as in PyTorch."""
    return dA * active  # (n, m)


def batch_norm_forward(S, gamma, beta, eps):
    """Training mode: each column of S is normalised by its own mean and biased variance over the rows.

    Returns out, (S_hat, inv_std, gamma), (mean, var). The variance is the mean square, not `np.var`, which would take a
    modulus of complex input and lose its derivative.
    """
    mean = S.mean(axis=-2)  # (m,)
    centred = S - mean[..., None, :]  # (n, m)
    var = (centred * centred).mean(axis=-2)  # (m,)
    inv_std = 1 / np.sqrt(var + eps)  # (m,)
    S_hat = centred * inv_std[..., None, :]  # (n, m)
    out = S_hat * gamma[..., None, :] + beta[..., None, :]  # (n, m)
    return out, (S_hat, inv_std, gamma), (mean, var)


def batch_norm_backward(dout, cache):
    """Through S_hat, the mean and the variance (Ioffe and Szegedy 2015, section 3, with the sums collected).

    With dS_hat = gamma dout and all means over the rows of the batch,
    dS = inv_std (dS_hat - mean(dS_hat) - S_hat mean(dS_hat S_hat)).
    """
    S_hat, inv_std, gamma = cache
    dgamma = (dout * S_hat).sum(axis=-2)  # (m,)
    dbeta = dout.sum(axis=-2)  # (m,)
    dS_hat = dout * gamma[..., None, :]  # (n, m)
    through_mean = dS_hat.mean(axis=-2, keepdims=True)  # (1, m)
    through_var = (dS_hat * S_hat).mean(axis=-2, keepdims=True)  # (1, m)
    dS = inv_std[..., None, :] * (dS_hat - through_mean - S_hat * through_var)  # (n, m)
    return dS, dgamma, dbeta


def batch_norm_evaluate(S, gamma, beta, running_mean, running_var, eps):
    """Evaluation mode: the running statistics stand for those of the batch."""
    inv_std = 1 / np.sqrt(running_var + eps)  # (m,)
    return (S - running_mean[..., None, :]) * (inv_std * gamma)[..., None, :] + beta[..., None, :]  # (n, m)


def update_running(running, batch, momentum):
    """running <- (1 - momentum) running + momentum batch, as `nn.BatchNorm1d` weighs it."""
    return (1 - momentum) * running + momentum * batch  # (m,)
