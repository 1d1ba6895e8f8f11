"""A gradient judged by the rules of other gradient checkers, each at its defaults.

PyTorch's is the checker itself. JAX and HIPS/autograd can't be asked about a gradient that is not theirs: of them it is the
published rule, of one direction and a tolerance, as read in the files named below.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gradcheck.arrays import Array
from networks import Network

Cost = Callable[[dict[str, Array]], float]

# `torch.autograd.gradcheck` is the function; the module of that name holds what it calls.
gradcheck_module = importlib.import_module("torch.autograd.gradcheck")

NAMES = ("torch fast", "torch slow", "JAX rule", "HIPS rule")


class Peers:
    """The checkers at one point: `parameters` maps names to float64 arrays, `cost` takes such a dict and returns a number.

    `torch_cost` is the same cost of a dict of float64 tensors, as a 0-d tensor; `slow` says whether PyTorch's slow mode, which
    calls it twice for each entry, is one of them.
    """

    def __init__(
        self,
        parameters: dict[str, Array],
        cost: Cost,
        torch_cost: Callable[[dict[str, Tensor]], Tensor],
        slow: bool = True,
    ) -> None:
        self.parameters, self.cost, self.torch_cost, self.slow = parameters, cost, torch_cost, slow
        self._numerical: Any = None

    def judge(self, gradients: Mapping[str, Array]) -> dict[str, bool]:
        """Whether each checker accepts `gradients`, a dict like `parameters`: {name: bool}, without slow mode if it is off."""
        # Where fast mode rejects a gradient, it runs slow mode too, for its message alone, which nobody reads here.
        without_message = patch.object(gradcheck_module, "_run_slow_mode_and_get_error", lambda *arguments: "")
        computed_once = patch.object(gradcheck_module, "_get_numerical_jacobian", self._numerical_jacobian)
        with one_thread(), without_message, computed_once:
            accepted = {"torch fast": self.accepted_by_torch(gradients, fast_mode=True)}
            if self.slow:
                accepted["torch slow"] = self.accepted_by_torch(gradients, fast_mode=False)
        accepted["JAX rule"] = jax_rule(self.cost, self.parameters, gradients)
        accepted["HIPS rule"] = hips_rule(self.cost, self.parameters, gradients)
        return accepted

    def accepted_by_torch(self, gradients: Mapping[str, Array], fast_mode: bool) -> bool:
        """`torch.autograd.gradcheck` of a Function whose forward is the cost and whose backward hands out `gradients`."""
        names, torch_cost = list(self.parameters), self.torch_cost
        claimed = [torch.from_numpy(np.array(gradients[name])) for name in names]

        class ClaimedCost(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *tensors: Tensor) -> Tensor:
                return torch_cost(dict(zip(names, tensors, strict=True)))

            @staticmethod
            def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
                return tuple(upstream * gradient for gradient in claimed)

        inputs = [torch.tensor(self.parameters[name], requires_grad=True) for name in names]
        return torch.autograd.gradcheck(ClaimedCost.apply, inputs, raise_exception=False, fast_mode=fast_mode)

    def _numerical_jacobian(self, *arguments: Any, **options: Any) -> Any:
        """PyTorch's own, computed at the first call: it depends on the forward pass alone, which is right."""
        if self._numerical is None:
            self._numerical = NUMERICAL_JACOBIAN(*arguments, **options)
        return self._numerical


NUMERICAL_JACOBIAN = gradcheck_module._get_numerical_jacobian


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one core: a forward pass of 20 images is too small for two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def moved(parameters: Mapping[str, Array], direction: Mapping[str, Array], step: float) -> dict[str, Array]:
    """The parameters and `step` times the direction."""
    return {name: array + step * direction[name] for name, array in parameters.items()}


def along(gradients: Mapping[str, Array], direction: Mapping[str, Array]) -> float:
    """The derivative along the direction, by the gradients."""
    return sum(np.vdot(gradients[name], direction[name]) for name in direction)


def jax_rule(cost: Cost, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> bool:
    """`check_vjp` of jax/_src/public_test_util.py in float64: one normal direction, not normalised, from RandomState(0).

    The difference is central, by 1e-4 either way; both sides are multiplied by a random cotangent; atol and rtol are 1e-5.
    """
    rng, eps, tolerance = np.random.RandomState(0), 1e-4, 1e-5
    tangent = {name: rng.randn(*array.shape) for name, array in parameters.items()}
    slope = (cost(moved(parameters, tangent, eps)) - cost(moved(parameters, tangent, -eps))) * 0.5 / eps
    cotangent = rng.randn()
    claimed = cotangent * along(gradients, tangent)
    return bool(np.isclose(claimed, cotangent * slope, rtol=tolerance, atol=tolerance, equal_nan=True))


def hips_rule(cost: Cost, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> bool:
    """`check_vjp` and `scalar_close` of autograd/test_util.py: one normal direction, not normalised, from NumPy's generator.

    The difference is central, by 5e-7 either way; both sides are multiplied by a random cotangent; they may differ by 1e-6, or
    by 1e-6 of their sum.
    """
    rng, eps, tolerance = np.random.RandomState(0), 1e-6, 1e-6
    direction = {name: rng.randn(*array.shape) for name, array in parameters.items()}
    cotangent = rng.randn()
    exact = cotangent * along(gradients, direction)
    numeric = cotangent * (cost(moved(parameters, direction, eps / 2)) - cost(moved(parameters, direction, -eps / 2))) / eps
    with np.errstate(invalid="ignore"):
        return bool(abs(numeric - exact) < tolerance or abs(numeric - exact) / abs(numeric + exact) < tolerance)


def network_cost(network: Network, p: Mapping[str, Tensor], X: Tensor, y: Tensor, lam: Sequence[float]) -> Tensor:
    """The cost of a network in training mode, in plain PyTorch: X (n, 3072), y (n,), `lam` one number a layer."""
    A = X
    for layer in range(1, network.depth + 1):
        S = F.linear(A, p[f"W{layer}"], p[f"b{layer}"])  # (n, m)
        if layer < network.depth:
            if network.batch_norm:
                S = F.batch_norm(S, None, None, p[f"gamma{layer}"], p[f"beta{layer}"], training=True, eps=network.eps)  # (n, m)
            A = F.relu(S)  # (n, m)
    if network.loss == "softmax":
        loss = F.cross_entropy(S, y)
    else:
        loss = F.binary_cross_entropy_with_logits(S, F.one_hot(y, S.shape[1]).to(S.dtype))
    # A dot product: a temporary of the size of W at each of 300,000 calls leaves over 20 GB of holes in the heap.
    squares = [torch.dot(p[f"W{layer}"].flatten(), p[f"W{layer}"].flatten()) for layer in range(1, network.depth + 1)]
    return loss + sum(lam_l * square for lam_l, square in zip(lam, squares, strict=True))
