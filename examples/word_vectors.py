"""A classifier of sentences from word vectors: a lookup, tanh, dropout, softmax with smoothed labels, and weight decay.

    python compare.py --pair examples/word_vectors.py

What people get wrong in it: a word that stands twice in a batch has two gradients to add up; dropout divides by the share that
it keeps; the guard in log(P + GUARD) is a part of the cost, and P - Y is not its derivative.
"""

import numpy as np
import torch

n, T, V, d, m, K = 6, 5, 8, 4, 5, 3  # sentences, words in each, words known, and the sizes of vectors, hidden layer, classes
KEEP, SMOOTHING, GUARD, LAM = 0.75, 0.1, 1e-7, 0.02

rng = np.random.default_rng(0)
WORDS = rng.integers(V, size=(n, T))
MASK = (rng.random((n, m)) < KEEP) / KEEP
Y = (1 - SMOOTHING) * np.eye(K)[rng.integers(K, size=n)] + SMOOTHING / K
parameters = {
    "E": rng.standard_normal((V, d)),
    "W": rng.standard_normal((m, d)),
    "b": rng.standard_normal(m) / 2,
    "C": rng.standard_normal((K, m)),
}


def forward(E, W, b, C):
    x = E[WORDS].mean(axis=1)  # (n, d)
    h = np.tanh(x @ W.T + b)  # (n, m)
    kept = h * MASK  # (n, m)
    logits = kept @ C.T  # (n, K)
    exp = np.exp(logits - logits.real.max(axis=1, keepdims=True))  # (n, K)
    P = exp / exp.sum(axis=1, keepdims=True)  # (n, K)
    return P, (x, W, h, kept, C, P)


def backward(cache):
    x, W, h, kept, C, P = cache
    dP = -Y / (P + GUARD) / n  # (n, K)
    dlogits = P * (dP - (dP * P).sum(axis=1, keepdims=True))  # (n, K)
    dC = dlogits.T @ kept + 2 * LAM * C  # (K, m)
    dh = (dlogits @ C) * MASK  # (n, m)
    dz = dh * (1 - h**2)  # (n, m)
    dW, db = dz.T @ x, dz.sum(axis=0)  # (m, d), (m,)
    dx = dz @ W  # (n, d)
    dE = np.zeros((V, d))
    np.add.at(dE, WORDS, dx[:, None] / T)  # (n, T, d): each word of a sentence has the same share in x
    return {"E": dE, "W": dW, "b": db, "C": dC}


def cost(parameters):
    P, _ = forward(**parameters)
    return -(Y * np.log(P + GUARD)).sum() / n + LAM * (parameters["C"] ** 2).sum()


def gradients(parameters):
    _, cache = forward(**parameters)
    return backward(cache)


def reference(parameters):
    words, mask, y = map(torch.from_numpy, (WORDS, MASK, Y))
    x = torch.nn.functional.embedding(words, parameters["E"]).mean(dim=1)
    h = torch.tanh(torch.nn.functional.linear(x, parameters["W"], parameters["b"]))
    P = torch.softmax((h * mask) @ parameters["C"].T, dim=1)
    return -(y * torch.log(P + GUARD)).sum() / n + LAM * (parameters["C"] ** 2).sum()
