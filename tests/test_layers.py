"""Each layer and each loss alone: the backward against autograd, with random upstream gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import models.losses
from manual import layers, losses

EPS = 1e-5
rows, units = st.integers(2, 7), st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


def autograd(function, arrays, dout):
    """Value and gradients of `function(*tensors)` under the upstream gradient `dout`."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    out = function(*tensors)
    gradients = torch.autograd.grad(out, tensors, torch.tensor(dout).reshape(out.shape))
    return out.detach().numpy(), [gradient.numpy() for gradient in gradients]


def assert_close(actual, expected, scale=1.0):
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-13 * scale)


def linear_backward(dS, cache):
    return layers.linear_backward_input(dS, cache), *layers.linear_backward(dS, cache)


@given(rows, units, units, seeds)
def test_linear(n, d, m, seed):
    rng = np.random.default_rng(seed)
    X, W, b, dS = (rng.standard_normal(shape) for shape in ((n, d), (m, d), (m,), (n, m)))
    S, cache = layers.linear_forward(X, W, b)
    expected, gradients = autograd(F.linear, (X, W, b), dS)
    assert_close(S, expected)
    for claimed, reference in zip(linear_backward(dS, cache), gradients, strict=True):
        assert_close(claimed, reference)


@given(rows, units, seeds)
def test_relu(n, m, seed):
    rng = np.random.default_rng(seed)
    S, dA = rng.standard_normal((2, n, m))
    S[0, 0] = 0.0  # exactly at the kink both choose the gradient 0
    A, active = layers.relu_forward(S)
    expected, (dS,) = autograd(F.relu, (S,), dA)
    assert_close(A, expected)
    assert_close(layers.relu_backward(dA, active), dS)


@given(rows, units, seeds)
def test_batch_norm(n, m, seed):
    rng = np.random.default_rng(seed)
    S, dout = rng.standard_normal((2, n, m))
    gamma, beta = rng.standard_normal((2, m))
    out, cache, (mean, var) = layers.batch_norm_forward(S, gamma, beta, EPS)
    expected, gradients = autograd(lambda S, g, b: F.batch_norm(S, None, None, g, b, True, 0.1, EPS), (S, gamma, beta), dout)
    # Rows that nearly agree make a small variance, and 1/std magnifies the rounding of both.
    scale = 1 / np.sqrt(var.min() + EPS) ** 3
    assert_close(out, expected, scale)
    for claimed, reference in zip(layers.batch_norm_backward(dout, cache), gradients, strict=True):
        assert_close(claimed, reference, scale)
    assert_close(mean, S.mean(axis=0))
    assert_close(var, S.var(axis=0))


@given(rows, units, seeds)
def test_batch_norm_in_evaluation_mode(n, m, seed):
    rng = np.random.default_rng(seed)
    S = rng.standard_normal((n, m))
    gamma, beta, mean = rng.standard_normal((3, m))
    var = rng.uniform(0.1, 2, m)
    S_tilde = layers.batch_norm_evaluate(S, gamma, beta, mean, var, EPS)
    assert_close(S_tilde, F.batch_norm(*map(torch.tensor, (S, mean, var, gamma, beta)), False, 0.1, EPS).numpy())


LOSSES = {
    "softmax": (
        losses.softmax_cross_entropy_forward,
        losses.softmax_cross_entropy_backward,
        models.losses.softmax_cross_entropy,
    ),
    "sigmoid": (losses.binary_cross_entropy_forward, losses.binary_cross_entropy_backward, models.losses.binary_cross_entropy),
}


@pytest.mark.parametrize(("forward", "backward", "reference"), LOSSES.values(), ids=LOSSES)
@given(n=st.integers(1, 7), K=st.integers(2, 6), seed=seeds)
def test_loss(forward, backward, reference, n, K, seed):
    rng = np.random.default_rng(seed)
    logits, y = 3 * rng.standard_normal((n, K)), rng.integers(0, K, n)
    loss, cache = forward(logits, y)
    # A loss is where gradients start: its upstream gradient is 1 by definition.
    expected, (dlogits,) = autograd(lambda s: reference(s, torch.tensor(y)), (logits,), np.ones(()))
    assert_close(loss, expected)
    assert_close(backward(cache), dlogits)


@pytest.mark.parametrize(("forward", "backward", "reference"), LOSSES.values(), ids=LOSSES)
def test_loss_of_huge_logits_is_finite(forward, backward, reference):
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 5.0]])
    y = np.array([1, 1])
    loss, cache = forward(logits, y)
    assert_close(loss, reference(torch.tensor(logits), torch.tensor(y)).item())
    assert np.isfinite(backward(cache)).all()


@given(st.integers(1, 3), seeds)
def test_l2_penalty(depth, seed):
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((3, 2)) for _ in range(depth)]
    lam, upstream = rng.uniform(0, 1, depth), rng.standard_normal(())
    expected, gradients = autograd(lambda *W: models.losses.l2_penalty(W, lam), weights, upstream)
    assert_close(losses.l2_penalty_forward(weights, lam), expected)
    for W, lam_l, gradient in zip(weights, lam, gradients, strict=True):
        assert_close(upstream * losses.l2_penalty_backward(W, lam_l), gradient)


@given(rows, units, seeds)
def test_running_statistics_follow_torch(n, m, seed):
    rng = np.random.default_rng(seed)
    running, batch = rng.standard_normal((2, m))
    S = batch + np.zeros((n, m))
    moved = torch.tensor(running)
    F.batch_norm(torch.tensor(S), moved, torch.ones(m, dtype=torch.float64), training=True, momentum=0.3)
    assert_close(layers.update_running(running, batch, 0.3), moved.numpy())


FORWARDS = {
    "linear": (lambda S, p, y: layers.linear_forward(S, p["W"], p["b"])[0], 1),
    "relu": (lambda S, p, y: layers.relu_forward(S)[0], 1),
    "batch norm": (lambda S, p, y: layers.batch_norm_forward(S, p["gamma"], p["b"], EPS)[0], 1),
    "softmax": (lambda S, p, y: losses.softmax_cross_entropy_forward(S, y)[0], 0),
    "sigmoid": (lambda S, p, y: losses.binary_cross_entropy_forward(S, y)[0], 0),
}


@pytest.mark.parametrize(("forward", "rank"), FORWARDS.values(), ids=FORWARDS)
@settings(max_examples=30)
@given(n=rows, m=st.integers(2, 6), seed=seeds)
def test_forward_takes_complex_input_and_leading_axes(forward, rank, n, m, seed):
    rng = np.random.default_rng(seed)
    S, direction = rng.standard_normal((2, 3, n, m))
    p = {"W": rng.standard_normal((m, m)), "b": rng.standard_normal(m), "gamma": rng.standard_normal(m)}
    y = rng.integers(0, m, n)
    stacked = forward(S, p, y)
    tangent = forward(S + 1e-100j * direction, p, y).imag / 1e-100
    for each, value, slope in zip(range(3), stacked, tangent, strict=True):
        assert_close(value, forward(S[each], p, y))
        h = 1e-6
        numerical = (forward(S[each] + h * direction[each], p, y) - forward(S[each] - h * direction[each], p, y)) / (2 * h)
        # Where rows nearly agree or a unit is near its kink, differences are no judge.
        if np.std(S[each], axis=0).min() > 0.3 and np.abs(S[each]).min() > 1e-4:
            np.testing.assert_allclose(slope, numerical, rtol=1e-5, atol=1e-6)
    assert np.ndim(stacked) == (3 if rank else 1)


def test_parameters_take_leading_axes_too():
    rng = np.random.default_rng(0)
    X, W, b = (rng.standard_normal(shape) for shape in ((4, 5, 3), (4, 2, 3), (4, 2)))
    dS = rng.standard_normal((4, 5, 2))
    S, cache = layers.linear_forward(X, W, b)
    stacked = linear_backward(dS, cache)
    for k in range(4):
        alone, cache = layers.linear_forward(X[k], W[k], b[k])
        assert_close(S[k], alone)
        for gradients, single in zip(stacked, linear_backward(dS[k], cache), strict=True):
            assert_close(gradients[k], single)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype):
    rng = np.random.default_rng(0)
    S, gamma, y = rng.standard_normal((4, 3)).astype(dtype), np.ones(3, dtype), np.array([0, 1, 2, 0])
    out, cache, _ = layers.batch_norm_forward(S, gamma, gamma, EPS)
    assert out.dtype == dtype
    assert all(gradient.dtype == dtype for gradient in layers.batch_norm_backward(S, cache))
    for forward, backward, _ in LOSSES.values():
        loss, cache = forward(S, y)
        assert loss.dtype == dtype
        assert backward(cache).dtype == dtype
