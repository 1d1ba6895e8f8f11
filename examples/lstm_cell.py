"""An LSTM cell over four time steps, backpropagation through time by hand; the reference is torch.nn.LSTMCell.

    python compare.py --pair examples/lstm_cell.py

The rows of Wx, Wh and b hold the input, forget, cell and output gate, in PyTorch's order. The cost is sum(DH * H), H being the
hidden states of all steps, with a random upstream gradient DH.
"""

import numpy as np
import torch

T, n, d, m = 4, 3, 5, 4  # steps, sequences, inputs, hidden units

rng = np.random.default_rng(0)
X = rng.standard_normal((T, n, d))
DH = rng.standard_normal((T, n, m))
parameters = {
    "Wx": rng.standard_normal((4 * m, d)) / 2,
    "Wh": rng.standard_normal((4 * m, m)) / 2,
    "b": rng.standard_normal(4 * m),
    "h0": rng.standard_normal((n, m)),
    "c0": rng.standard_normal((n, m)),
}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(Wx, Wh, b, h0, c0):
    h, c, H, steps = h0, c0, [], []
    for x in X:
        i, f, g, o = np.split(x @ Wx.T + h @ Wh.T + b, 4, axis=1)  # (n, m) each
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)  # (n, m) each
        c_before, c = c, f * c + i * g  # (n, m)
        tanh_c = np.tanh(c)  # (n, m)
        steps.append((x, h, c_before, i, f, g, o, tanh_c))
        h = o * tanh_c  # (n, m)
        H.append(h)
    return np.stack(H), (Wh, steps)


def backward(dH, cache):
    Wh, steps = cache
    dWx, dWh, db = np.zeros((4 * m, d)), np.zeros((4 * m, m)), np.zeros(4 * m)
    dh, dc = np.zeros((n, m)), np.zeros((n, m))
    for dh_out, (x, h_before, c_before, i, f, g, o, tanh_c) in zip(dH[::-1], steps[::-1], strict=True):
        dh = dh + dh_out  # (n, m): from the next step, and from the output of this one
        dc = dc + dh * o * (1 - tanh_c**2)  # (n, m): from the next step, and through h
        di = dc * g * i * (1 - i)  # (n, m)
        df = dc * c_before * f * (1 - f)  # (n, m)
        dg = dc * i * (1 - g**2)  # (n, m)
        do = dh * tanh_c * o * (1 - o)  # (n, m)
        dgates = np.concatenate([di, df, dg, do], axis=1)  # (n, 4m)
        dWx += dgates.T @ x  # (4m, d)
        dWh += dgates.T @ h_before  # (4m, m)
        db += dgates.sum(axis=0)  # (4m,)
        dh = dgates @ Wh  # (n, m)
        dc = dc * f  # (n, m)
    return {"Wx": dWx, "Wh": dWh, "b": db, "h0": dh, "c0": dc}


def cost(parameters):
    H, _ = forward(**parameters)
    return (DH * H).sum()


def gradients(parameters):
    _, cache = forward(**parameters)
    return backward(DH, cache)


CELL = torch.nn.LSTMCell(d, m, device="meta", dtype=torch.float64)  # "meta": it holds no numbers, all come from outside


def reference(parameters):
    weights = {"weight_ih": parameters["Wx"], "weight_hh": parameters["Wh"], "bias_ih": parameters["b"]}
    weights["bias_hh"] = torch.zeros_like(parameters["b"])
    h, c, total = parameters["h0"], parameters["c0"], 0.0
    for x, dh in zip(torch.from_numpy(X), torch.from_numpy(DH), strict=True):
        h, c = torch.func.functional_call(CELL, weights, (x, (h, c)))
        total = total + (dh * h).sum()
    return total
