"""Pairs at random: no alarm for a correct one, and every planted error is found."""

import numpy as np
import pytest
import torch

from gradcheck import check

ACTIVATIONS = {
    "tanh": (np.tanh, torch.tanh, lambda z, a: 1 - a**2),
    "relu": (lambda z: np.maximum(z, 0), torch.relu, lambda z, a: (z.real > 0) * 1.0),
    "softplus": (lambda z: np.log(1 + np.exp(z)), lambda z: torch.log(1 + torch.exp(z)), lambda z, a: 1 / (1 + np.exp(-z))),
}


def mlp(rng):
    """A network with random widths, activation and scales, squared error: parameters, cost, gradients, reference."""
    sizes = rng.integers(1, 6, rng.integers(2, 5))
    n, scale = rng.integers(1, 8), 10.0 ** rng.uniform(-2, 2)
    activation, in_torch, derivative = ACTIVATIONS[rng.choice(list(ACTIVATIONS))]
    X, Y = rng.standard_normal((n, sizes[0])), scale * rng.standard_normal((n, sizes[-1]))
    depth = len(sizes) - 1
    parameters = {}
    for layer in range(1, depth + 1):
        W = rng.standard_normal((sizes[layer], sizes[layer - 1])) * 10.0 ** rng.uniform(-3, 0.5)
        parameters |= {f"W{layer}": W, f"b{layer}": rng.standard_normal(sizes[layer]) * rng.choice([0.0, 0.1, 1.0])}

    def forward(p, activation=activation, X=X):
        A = [X]
        Z = []
        for layer in range(1, depth + 1):
            Z.append(A[-1] @ p[f"W{layer}"].T + p[f"b{layer}"])
            A.append(activation(Z[-1]) if layer < depth else Z[-1])
        return Z, A

    def cost(p):
        return ((forward(p)[1][-1] - Y) ** 2).mean()

    def gradients(p):
        Z, A = forward(p)
        dA, found = 2 * (A[-1] - Y) / Y.size, {}
        for layer in range(depth, 0, -1):
            dZ = dA if layer == depth else dA * derivative(Z[layer - 1], A[layer])
            found |= {f"W{layer}": dZ.T @ A[layer - 1], f"b{layer}": dZ.sum(axis=0)}
            dA = dZ @ p[f"W{layer}"]
        return found

    def reference(p):
        return ((forward(p, in_torch, torch.tensor(X))[1][-1] - torch.tensor(Y)) ** 2).mean()

    return parameters, cost, gradients, reference


def attention(rng):
    """One head over t positions, and a log of its sum of squares."""
    t, d = rng.integers(2, 5, 2)
    out = rng.standard_normal((t, d))
    names = ("Q", "K", "V")
    parameters = {name: rng.standard_normal((t, d)) * 10.0 ** rng.uniform(-2, 1) for name in names}

    def forward(p):
        scores = p["Q"] @ p["K"].T / np.sqrt(d)
        A = np.exp(scores - scores.real.max(axis=1, keepdims=True))
        A = A / A.sum(axis=1, keepdims=True)
        return A, A @ p["V"]

    def cost(p):
        return (forward(p)[1] * out).sum()

    def gradients(p):
        A, _ = forward(p)
        dA = out @ p["V"].T
        dS = A * (dA - (dA * A).sum(axis=1, keepdims=True)) / np.sqrt(d)
        return {"Q": dS @ p["K"], "K": dS.T @ p["Q"], "V": A.T @ out}

    def reference(p):
        return (torch.nn.functional.scaled_dot_product_attention(*(p[name] for name in names)) * torch.tensor(out)).sum()

    return parameters, cost, gradients, reference


def random_pair(seed):
    """A pair, and whether it has the complex step and a reference."""
    rng = np.random.default_rng([seed, 5])
    parameters, cost, gradients, reference = (attention if seed % 5 == 0 else mlp)(rng)
    kind = seed % 3
    if kind == 0:
        return parameters, cost, gradients, reference
    return (parameters, cost, gradients) if kind == 1 else (parameters, lambda p: cost(real(p)), gradients)


def real(p):
    return {name: np.real(array) for name, array in p.items()}


@pytest.mark.parametrize("tens", range(10))
def test_no_alarm_for_a_correct_pair(tens):
    for seed in range(10 * tens, 10 * tens + 10):
        result = check(*random_pair(seed), seed=seed)
        assert result.verdict != "fail", (seed, [(t["name"], t["fail"], t["taylor"]["verdict"]) for t in result.tensors])
        assert result.faults == []


@pytest.mark.parametrize("error", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5, 6, 10])
def test_every_planted_error_of_a_single_entry_is_found(seed, error):
    """In any entry whose derivative is more than rounding, where the complex step or a reference is there."""
    parameters, cost, gradients, *reference = random_pair(seed)
    rng = np.random.default_rng(seed)
    right = gradients(parameters)
    for tensor, gradient in right.items():
        entry = tuple(rng.integers(size) for size in gradient.shape)
        if abs(gradient[entry]) < 1e-3 * np.abs(gradient).max() or not gradient[entry]:
            continue
        wrong = right | {tensor: gradient.copy()}
        wrong[tensor][entry] *= 1 + error
        result = check(parameters, cost, lambda p: planted(gradients(p), tensor, entry, error), *reference)  # noqa: B023
        assert {t["name"]: t["fail"] for t in result.tensors if t["fail"]} == {tensor: 1}


def planted(found, tensor, entry, error):
    change = np.zeros(np.shape(found[tensor]))
    change[entry] = error
    return found | {tensor: found[tensor] * (1 + change)}
