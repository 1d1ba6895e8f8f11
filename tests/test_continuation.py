"""What has a derivative but no complex one in NumPy or PyTorch is continued, so that the complex step goes through it."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gradcheck import check
from gradcheck.derivations.plain import difference_quotients

W = np.random.default_rng(0).standard_normal((3, 4))
C = torch.tensor(np.random.default_rng(1).standard_normal((4, 4)))
Y = torch.tensor([0, 2, 3])

IN_NUMPY = {
    "abs": lambda w: np.abs(w).sum(),
    "fabs": lambda w: (np.fabs(w) ** 1.5).sum(),
    "norm": lambda w: np.linalg.norm(w),
    "norms of rows": lambda w: np.linalg.norm(w, axis=1, keepdims=True).sum() + np.linalg.norm(w, axis=1, ord=1).max(),
    "largest norm": lambda w: np.linalg.norm(w[0], np.inf) + np.linalg.norm(w[1], 3),
    "var": lambda w: w.var(axis=0, ddof=1).sum() + np.var(w[:, :2]),
    "var of some": lambda w: (
        np.var(w, 0, where=C.numpy()[:3] > 0, mean=w[:1]).sum() + np.std(w, axis=1, out=np.empty_like(w[:, 0])).sum()
    ),
    "single numbers": lambda w: abs(w[0, 0]) * np.abs(w[1, 1]) + sum(abs(x) for x in w[2]),
    "std": lambda w: w.std() + np.std(w, axis=1).sum(),
    "conjugate": lambda w: (w * w.conj() + np.conjugate(w)).sum() + np.vdot(w, w),
    "floor": lambda w: (np.floor(3 * w) * w).sum() + (np.round(w, 1) * w).sum(),
    "sign": lambda w: (np.sign(w) * w**2).sum(),
    "hypot": lambda w: np.hypot(w[0], w[1]).sum(),
    "arctan2": lambda w: np.arctan2(w[0], w[1]).sum(),
    "logaddexp": lambda w: np.logaddexp(w[0], 400 * w[1]).sum(),
    "cbrt": lambda w: np.cbrt(w + np.sign(w)).sum(),
    "into an array": lambda w: np.abs(w, out=np.empty_like(w)).sum(),
    "where": lambda w: (
        np.abs(w, out=np.zeros_like(w), where=w.real > 0).sum() + np.log1p(w**2, out=1 * w, where=w.real < 0).sum()
    ),
    "clip": lambda w: (np.clip(w, -0.5, 0.5) * np.maximum(w, 0)).sum(),
}
IN_TORCH = {
    "abs": lambda w: w.abs().sum(),
    "relu": lambda w: F.relu(w).sum() + F.leaky_relu(w).sum() + F.relu6(9 * w).sum(),
    "softmax": lambda w: (F.softmax(w, 1) * C[:3]).sum(),
    "cross entropy": lambda w: F.cross_entropy(w, Y) + torch.logsumexp(w, 0).sum(),
    "linear": lambda w: (F.linear(w, C, C[0]) @ C).tanh().sum() + torch.einsum("ij,kj->", w, C),
    "losses": lambda w: F.mse_loss(w, C[:3]) + F.smooth_l1_loss(w, C[:3]) + F.l1_loss(w, C[1:]),
    "norm": lambda w: w.norm() + torch.linalg.norm(w, dim=1, ord=1).sum() + torch.linalg.norm(w[0], float("inf")),
    "var": lambda w: w.var() + w.std(0).sum() + torch.var_mean(w, 1)[0].sum() + torch.std_mean(w)[0],
    "max": lambda w: w.max() + w.max(dim=1).values.sum() + w.amax((0, 1)) + w.min() * w.amin(0, keepdim=True).sum(),
    "clamp": lambda w: w.clamp(-0.5, 0.5).sum() + w.clamp(min=0).sum() * w.clamp_max(1).sum(),
    "maximum": lambda w: torch.maximum(w[0], w[1]).sum() * torch.minimum(w[0], w[2]).sum(),
    "where": lambda w: torch.where(w > 0, w**2, -w).sum() + w[w <= 0].sum(),
    "floor": lambda w: (w.floor() * w).sum() + (w.sign() * w).sum() + (w.round() * w).sum(),
    "sigmoid": lambda w: torch.sigmoid(40 * w).sum() + F.silu(w).sum() + F.softplus(w).sum() + F.elu(w).sum(),
    "sort": lambda w: (w.sort().values * C[:3]).sum() * w[0, w[1].argmax()],
    "logaddexp": lambda w: torch.logaddexp(w[0], 400 * w[1]).sum(),
    "conj": lambda w: (w * w.conj()).sum(),
}


@pytest.mark.parametrize("name", IN_NUMPY)
def test_of_numpy(name):
    def gradient(w):
        (found,) = difference_quotients(lambda p: IN_NUMPY[name](p["w"]), {"w": w}, 1e-5).values()
        return found

    assert_complex_step_sees(W, IN_NUMPY[name], gradient, digits=1e-8)


@pytest.mark.parametrize("name", IN_TORCH)
def test_of_pytorch(name):
    def gradient(w):
        leaf = w.detach().requires_grad_()
        return torch.autograd.grad(IN_TORCH[name](leaf), leaf)[0]

    assert_complex_step_sees(torch.tensor(W), IN_TORCH[name], gradient, digits=1e-12)


def assert_complex_step_sees(w, cost, gradient, digits):
    """It agrees with the gradient to so many digits."""
    result = check({"w": w}, lambda p: cost(p["w"]), lambda p: {"w": gradient(p["w"])}, oracles=("complex-step",))
    found = result.tensors[0]["oracles"]["complex-step"]
    assert found["max_abs_error"] <= digits * max(1, np.abs(np.asarray(gradient(w))).max()), result.notes
    assert found["worst"]["reference"] is not None


@pytest.mark.parametrize("library", [np, torch], ids=lambda library: library.__name__)
def test_what_overflows_on_the_way(library):
    """The exponential of a saturated sigmoid is infinite, in complex numbers as in real ones."""
    w = np.array([-800.0, 1.0, 800.0])

    def cost(p):
        with np.errstate(over="ignore"):
            return (1 / (1 + library.exp(-p["w"]))).sum() + (p["w"] / library.cosh(2 * p["w"])).sum() + p["w"].sum()

    def gradients(p):
        middle = np.asarray(p["w"][1])
        s = 1 / (1 + np.exp(-middle))
        slope = s * (1 - s) + (1 - 2 * middle * np.tanh(2 * middle)) / np.cosh(2 * middle)
        return {"w": np.array([1.0, 1 + slope, 1.0])}

    result = check({"w": w if library is np else torch.tensor(w)}, cost, gradients)
    assert result.verdict == "pass"
    assert result.tensors[0]["oracles"]["complex-step"]["worst"]["index"] is not None, result.notes
