"""Causal attention with two heads, its backward pass by hand; the reference is PyTorch's scaled_dot_product_attention.

    python compare.py --pair examples/attention.py

out = Z Wo^T, where Z joins the heads softmax(Q K^T / sqrt(e)) V, Q = x Wq^T, K = x Wk^T, V = x Wv^T, and no position sees a
later one. The cost is sum(DOUT * out) with a random upstream gradient DOUT.
"""

import numpy as np
import torch

n, t, d, HEADS = 2, 5, 6, 2  # sequences, positions, width
e = d // HEADS
CAUSAL = np.tril(np.ones((t, t), bool))

rng = np.random.default_rng(0)
DOUT = rng.standard_normal((n, t, d))
parameters = {"x": rng.standard_normal((n, t, d))} | {
    name: rng.standard_normal((d, d)) / 2 for name in ("Wq", "Wk", "Wv", "Wo")
}


def split(x):
    return x.reshape(n, t, HEADS, e).swapaxes(1, 2)  # (n, HEADS, t, e)


def join(heads):
    return heads.swapaxes(1, 2).reshape(n, t, d)  # (n, t, d)


def forward(x, Wq, Wk, Wv, Wo):
    Q, K, V = split(x @ Wq.T), split(x @ Wk.T), split(x @ Wv.T)  # (n, HEADS, t, e) each
    scores = Q @ K.swapaxes(2, 3) / np.sqrt(e)  # (n, HEADS, t, t)
    exp = CAUSAL * np.exp(scores - scores.real.max(axis=3, keepdims=True))  # (n, HEADS, t, t)
    A = exp / exp.sum(axis=3, keepdims=True)  # (n, HEADS, t, t)
    Z = join(A @ V)  # (n, t, d)
    return Z @ Wo.T, (x, Q, K, V, A, Z, Wq, Wk, Wv, Wo)


def backward(dout, cache):
    x, Q, K, V, A, Z, Wq, Wk, Wv, Wo = cache
    dWo = np.einsum("nti,ntj->ij", dout, Z)  # (d, d)
    dheads = split(dout @ Wo)  # (n, HEADS, t, e)
    dA = dheads @ V.swapaxes(2, 3)  # (n, HEADS, t, t)
    dV = join(A.swapaxes(2, 3) @ dheads)  # (n, t, d)
    # The softmax; A is 0 where the mask is, and so is what passes it.
    dscores = A * (dA - (dA * A).sum(axis=3, keepdims=True))  # (n, HEADS, t, t)
    dscores = dscores / np.sqrt(e)  # (n, HEADS, t, t)
    dQ = join(dscores @ K)  # (n, t, d)
    dK = join(dscores.swapaxes(2, 3) @ Q)  # (n, t, d)
    dWq = np.einsum("nti,ntj->ij", dQ, x)  # (d, d)
    dWk = np.einsum("nti,ntj->ij", dK, x)  # (d, d)
    dWv = np.einsum("nti,ntj->ij", dV, x)  # (d, d)
    dx = dQ @ Wq + dK @ Wk + dV @ Wv  # (n, t, d)
    return {"x": dx, "Wq": dWq, "Wk": dWk, "Wv": dWv, "Wo": dWo}


def cost(parameters):
    out, _ = forward(**parameters)
    return (DOUT * out).sum()


def gradients(parameters):
    _, cache = forward(**parameters)
    return backward(DOUT, cache)


def reference(parameters):
    x, Wq, Wk, Wv, Wo = (parameters[name] for name in ("x", "Wq", "Wk", "Wv", "Wo"))
    Q, K, V = (torch.nn.functional.linear(x, W).unflatten(2, (HEADS, e)).transpose(1, 2) for W in (Wq, Wk, Wv))
    heads = torch.nn.functional.scaled_dot_product_attention(Q, K, V, is_causal=True)
    out = torch.nn.functional.linear(heads.transpose(1, 2).flatten(2), Wo)
    return (torch.from_numpy(DOUT) * out).sum()
