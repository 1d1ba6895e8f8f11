"""A student's two-layer network, ReLU and softmax, in the layout of the course: one column per image. It has a bug.

    python compare.py --pair examples/student_two_layer.py

The mask of the ReLU is taken from the gradient that passes it, not from the activation. compare.py fails W1 and b1, confirms
W2 and b2, and says: "the mask of the ReLU is taken from the gradient instead of the activation".
"""

import numpy as np

from gradcheck import Layers

d, m, K, n = 40, 12, 10, 15  # pixels, hidden units, classes, images
lam = 0.01

rng = np.random.default_rng(0)
X = rng.standard_normal((d, n))
y = rng.integers(K, size=n)
Y = np.eye(K)[:, y]  # (K, n)

parameters = {
    "W1": rng.standard_normal((m, d)) / np.sqrt(d),
    "b1": 0.1 * rng.standard_normal((m, 1)),
    "W2": rng.standard_normal((K, m)) / np.sqrt(m),
    "b2": 0.1 * rng.standard_normal((K, 1)),
}

# Optional: with it compare.py knows the network, is faster and names more bugs. It wants one row per image.
layers = Layers(X=X.T, y=y, loss="softmax", lam=lam)


def evaluate(parameters):
    s1 = parameters["W1"] @ X + parameters["b1"]  # (m, n)
    h = s1 * (s1.real > 0)  # (m, n): the real part, so that the complex step can pass
    s = parameters["W2"] @ h + parameters["b2"]  # (K, n)
    p = np.exp(s) / np.exp(s).sum(axis=0)  # (K, n)
    return p, h


def cost(parameters):
    p, _ = evaluate(parameters)
    loss = -np.log((Y * p).sum(axis=0)).mean()
    return loss + lam * ((parameters["W1"] ** 2).sum() + (parameters["W2"] ** 2).sum())


def gradients(parameters):
    W1, W2 = parameters["W1"], parameters["W2"]
    p, h = evaluate(parameters)
    G = p - Y  # (K, n)
    grad_W2 = G @ h.T / n + 2 * lam * W2  # (K, m)
    grad_b2 = G.mean(axis=1, keepdims=True)  # (K, 1)
    G = W2.T @ G  # (m, n)
    G = G * (G > 0)  # (m, n): the bug; right is G * (h > 0)
    grad_W1 = G @ X.T / n + 2 * lam * W1  # (m, d)
    grad_b1 = G.mean(axis=1, keepdims=True)  # (m, 1)
    return {"W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2}
