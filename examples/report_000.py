"""Report 000's own gradient, of its two-layer network 3072-50-10: the penalty of W1 has lost a factor of 2.

    python compare.py --pair examples/report_000.py

The cost is the mean loss + lambda * (sum W1**2 + sum W2**2), so that dJ/dW1 has 2*lambda*W1. The report's gradient has
lambda*W1; its W2 is right. Its gradient check passed, for that ran at lambda 0, where both are the same; its lambda search
then trained with half the penalty on W1, as its accuracies show. compare.py fails W1 alone, and says: "it has lambda*W1 where
the cost's derivative is 2*lambda*W1".
"""

import numpy as np

from gradcheck import Layers

LAMBDA = 0.01  # at 0, as in the report's check, every entry passes

d, m, K, n = 3072, 50, 10, 20  # pixels, hidden units, classes, images

rng = np.random.default_rng(0)
X = rng.standard_normal((d, n))  # a column per image, each pixel normalised
y = rng.integers(K, size=n)
Y = np.eye(K)[:, y]  # (K, n)

parameters = {
    "W1": rng.standard_normal((m, d)) / np.sqrt(d),
    "b1": 0.1 * rng.standard_normal((m, 1)),
    "W2": rng.standard_normal((K, m)) / np.sqrt(m),
    "b2": 0.1 * rng.standard_normal((K, 1)),
}

# The network's structure, a row per image: all 154,160 entries are checked in seconds.
layers = Layers(X=X.T, y=y, loss="softmax", lam=LAMBDA)


def forward(parameters):
    """Class probabilities P (K, n) and the hidden layer H (m, n)."""
    S1 = parameters["W1"] @ X + parameters["b1"]  # (m, n)
    H = S1 * (S1.real > 0)  # (m, n)
    S = parameters["W2"] @ H + parameters["b2"]  # (K, n)
    P = np.exp(S) / np.exp(S).sum(axis=0)  # (K, n)
    return P, H


def cost(parameters):
    P, _ = forward(parameters)
    loss = -np.log((Y * P).sum(axis=0)).mean()
    return loss + LAMBDA * ((parameters["W1"] ** 2).sum() + (parameters["W2"] ** 2).sum())


def gradients(parameters):
    W1, W2 = parameters["W1"], parameters["W2"]
    P, H = forward(parameters)
    G = P - Y  # (K, n)
    dW2 = G @ H.T / n + 2 * LAMBDA * W2  # (K, m)
    db2 = G.sum(axis=1, keepdims=True) / n  # (K, 1)
    G = (W2.T @ G) * (H > 0)  # (m, n)
    dW1 = G @ X.T / n + LAMBDA * W1  # (m, d): the report's bug
    db1 = G.sum(axis=1, keepdims=True) / n  # (m, 1)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
