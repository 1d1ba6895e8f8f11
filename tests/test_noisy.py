"""NumPy code on Noisy arrays computes what it computes on plain ones, to a few ulp, and choices that noise changes show."""

import numpy as np
import pytest
import torch

from gradcheck.rounding.numpy_noise import Noise, Noisy, rounding_uncertainty_of_numpy
from gradcheck.rounding.torch_noise import rounding_uncertainty

rng = np.random.default_rng(0)
A, B = rng.standard_normal((3, 4)), rng.standard_normal((4, 3))


def in_place(a, b):
    c = a.copy()
    c += 1.0
    c *= a
    c[0] -= 3.0
    c[:, 1] = a[:, 2]
    np.add.at(c, ([0, 0, 1],), 1.5)
    return c


def into_a_buffer(a, b):
    out, other = np.empty((3, 3)), np.zeros((3, 4))
    np.matmul(a, b, out=out)
    np.add(a, 1.0, out=other)
    np.einsum("ij,jk->ik", a, b, out=out)
    buffer = np.zeros((3, 3))
    buffer[...] = out
    return buffer + other.sum()


def two_outputs(a, b):
    fraction, whole = np.modf(a * 3)
    fraction, whole = np.modf(a * 3, out=(fraction, whole))
    quotient, rest = np.divmod(a, 0.3)
    return fraction + whole + quotient + rest


def max_pool(a, b):
    windows = a.reshape(3, 2, 2)
    where = windows.argmax(axis=2)
    out = np.zeros(windows.shape)
    np.put_along_axis(out, where[..., None], 2.0, axis=2)
    return out * windows


CODE = {
    "in place": in_place,
    "buffers": into_a_buffer,
    "two outputs": two_outputs,
    "max pool": max_pool,
    "einsum": lambda a, b: np.einsum("ij,jk->i", a, b),
    "where": lambda a, b: np.where(a > 0, a, np.exp(a)),
    "indexing": lambda a, b: a[a > 0].sum() + a[[0, 2]].sum() + a[1, 2] + a[..., None, 0].sum(),
    "asarray": lambda a, b: np.asarray(a) @ np.asarray(b),
    "astype": lambda a, b: a.astype(np.float64).T * 2,
    "broadcasting": lambda a, b: (a[:, :, None] * b[None]).sum(axis=1) / a.sum(axis=1, keepdims=True),
    "functions": lambda a, b: np.concatenate([np.tanh(a), b.T]).mean(axis=0) + np.linalg.norm(b, axis=1) + np.var(a, axis=0),
    "solve": lambda a, b: np.linalg.solve(a @ b + 5 * np.eye(3), np.ones(3)),
    "stack": lambda a, b: np.stack([row / row.sum() for row in a]) + np.pad(a, 1)[1:-1, 1:-1],
    "scalars": lambda a, b: float(a[0, 0]) * a.max() + a.sum().item() + np.float64(3) * a.min(),
    "methods": lambda a, b: a.dot(b).clip(-1, 1).cumsum(axis=0) + a.std() + a.prod(),
}


@pytest.mark.parametrize("name", CODE)
def test_results_are_those_of_plain_arrays(name):
    plain = np.asarray(CODE[name](A, B))
    for unit in (0.0, 2.0**-53):
        noise = Noise(unit, np.random.default_rng(1))
        found = CODE[name](noise.array(A), noise.array(B))
        np.testing.assert_allclose(np.asarray(found), plain, rtol=0 if unit == 0 else 3e-15, atol=0 if unit == 0 else 3e-15)
        assert np.shape(found) == plain.shape


@pytest.mark.parametrize("name", [name for name in CODE if name != "asarray"])
def test_noise_reaches_the_result(name):
    noise = Noise(2.0**-30, np.random.default_rng(1))
    found = CODE[name](noise.array(A), noise.array(B))
    change = np.abs(np.asarray(found) - CODE[name](A, B)).max()
    # Code that only moves numbers does not round.
    assert change > 1e-11 or name in ("astype", "max pool")
    assert change < 1e-6


def test_the_arrays_given_stay_as_they_are():
    noise, before = Noise(2.0**-30, np.random.default_rng(1)), A.copy()
    noisy = noise.array(A)
    noisy += 1.0
    assert (before == A).all()
    assert isinstance(noisy, Noisy)


CHOICES = {
    "greater": lambda x: np.where(x > 1, x, 5.0),
    "maximum": lambda x: np.maximum(x, 1.0) * (np.maximum(x, 1.0) == x) * 5,
    "method argmax": lambda x: np.array([5.0, 1.0])[x.argmax()] * x,
    "argmax": lambda x: np.array([5.0, 1.0])[np.argmax(x)] * x,
    "argsort": lambda x: np.array([5.0, 1.0])[x.argsort()] * x,
    "argmin": lambda x: np.array([5.0, 1.0])[x.argmin(axis=0)] * x,
    "sign": lambda x: 5 * np.sign(x - (1 - 2.0**-53)) * x,
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_run_that_makes_another_choice_is_drawn_again(name):
    x = {"x": np.array([1.0 + 2.0**-52, 1.0])}
    uncertainty = rounding_uncertainty_of_numpy(lambda p: {"x": CHOICES[name](p["x"])}, x, "float64")["x"]
    assert (uncertainty < 1e-12).all()


TIED = {
    "closed on both sides": lambda x: np.where((x >= -3) & (x <= 3), x, 7.0),
    "mask of a maximum": lambda x: (x == x.max()) * x,
    "argmax among equals": lambda x: np.eye(4)[np.argmax(np.append(x, 3.0))] * 2,
    "argsort among equals": lambda x: np.arange(3.0)[np.argsort(np.array([0, 1, 0]) * x, kind="stable")],
    "floor": lambda x: np.floor(x * 1.0) * x,
    "whole numbers": lambda x: np.arange(9.0)[(x + 3).astype(int)],
    "round": lambda x: np.round(x - 0.5) * x,
    "in place": lambda x: (lambda mask: np.logical_not(mask, out=mask) * x)(x >= 3),
}


@pytest.mark.parametrize("name", TIED)
def test_at_a_tie_rounding_is_that_of_the_piece_that_ran(name):
    """Every second run beside these whole numbers would take another branch."""
    x = {"x": np.array([-3.0, 3.0, 3.0])}
    uncertainty = rounding_uncertainty_of_numpy(lambda p: {"x": TIED[name](p["x"])}, x, "float64")["x"]
    assert (uncertainty < 1e-12).all()


TIED_IN_TORCH = {
    "relu6": torch.nn.functional.relu6,
    "hardswish": torch.nn.functional.hardswish,
    "clamp": lambda x: x.clamp(-3, 3),
    "maximum": lambda x: torch.maximum(x, x.flip(0) * x.sign()),
    "amax": lambda x: x.amax() * x,
    "max": lambda x: x.max(dim=0).values * x,
    "max pool": lambda x: torch.nn.functional.max_pool1d(x[None], 3),
    "leaky": lambda x: torch.nn.functional.leaky_relu(x - 3),
    "where": lambda x: torch.where((x >= -3) & (x <= 3), x * x, x),
}


@pytest.mark.parametrize("name", TIED_IN_TORCH)
def test_at_a_tie_autograd_stays_on_the_piece_that_ran(name):
    def gradient(p):
        leaf = torch.tensor(p["x"]).requires_grad_()
        return {"x": torch.autograd.grad(TIED_IN_TORCH[name](leaf).sum(), leaf)[0].numpy()}

    uncertainty = rounding_uncertainty(gradient, {"x": np.array([-3.0, 3.0, 3.0])}, "float64")["x"]
    assert (uncertainty < 1e-12).all()


def test_code_that_refuses_a_subclass_still_has_its_inputs_rounded():
    def picky(p):
        assert type(p["x"]) is np.ndarray
        return {"x": (p["x"] * 1e6).sum()}

    assert 1e-10 < rounding_uncertainty_of_numpy(picky, {"x": np.array([1.5, 2.5, -4.0])}, "float64")["x"] < 1e-6
