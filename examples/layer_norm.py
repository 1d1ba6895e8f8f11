"""Layer norm with gamma and beta, its backward pass by hand; the reference is torch.nn.functional.layer_norm.

    python compare.py --pair examples/layer_norm.py

Each row of x is normalised by its own mean and biased variance. The cost is sum(DOUT * out) with a random upstream gradient
DOUT: with ones in its place, the gradient of x would be almost 0 and a wrong backward pass would go unseen.
"""

import numpy as np
import torch

n, d, EPS = 6, 8, 1e-5

rng = np.random.default_rng(0)
DOUT = rng.standard_normal((n, d))
parameters = {
    "x": 2 * rng.standard_normal((n, d)) + 1,
    "gamma": 1 + 0.5 * rng.standard_normal(d),
    "beta": rng.standard_normal(d),
}


def forward(x, gamma, beta):
    centred = x - x.mean(axis=1, keepdims=True)  # (n, d)
    var = (centred * centred).mean(axis=1, keepdims=True)  # (n, 1): np.var would take a modulus of complex numbers
    inv_std = 1 / np.sqrt(var + EPS)  # (n, 1)
    x_hat = centred * inv_std  # (n, d)
    return gamma * x_hat + beta, (x_hat, inv_std, gamma)


def backward(dout, cache):
    x_hat, inv_std, gamma = cache
    dgamma = (dout * x_hat).sum(axis=0)  # (d,)
    dbeta = dout.sum(axis=0)  # (d,)
    dx_hat = dout * gamma  # (n, d)
    through_mean = dx_hat.mean(axis=1, keepdims=True)  # (n, 1)
    through_var = x_hat * (dx_hat * x_hat).mean(axis=1, keepdims=True)  # (n, d)
    dx = inv_std * (dx_hat - through_mean - through_var)  # (n, d)
    return dx, dgamma, dbeta


def cost(parameters):
    out, _ = forward(**parameters)
    return (DOUT * out).sum()


def gradients(parameters):
    _, cache = forward(**parameters)
    return dict(zip(("x", "gamma", "beta"), backward(DOUT, cache), strict=True))


def reference(parameters):
    out = torch.nn.functional.layer_norm(parameters["x"], (d,), parameters["gamma"], parameters["beta"], EPS)
    return (torch.from_numpy(DOUT) * out).sum()
