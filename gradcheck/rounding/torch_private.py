"""All that gradcheck uses of PyTorch beyond its documented interface: what a new version may change stands here alone.

Two parts are private: a mode that sees each operator as it is dispatched, and the names and properties of those operators.
`tests/test_torch_private.py` uses each of them, and is run on the oldest and the newest PyTorch that `pyproject.toml` admits.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch._decomp import decomposition_table, get_decompositions
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

# An operator, such as aten.add.Tensor: an overload of its packet, aten.add.
Operator = Any


def packets(names: str) -> set[Any]:
    """The packets of these names of aten, without those that this version of PyTorch does not have."""
    return {getattr(aten, name) for name in names.split() if hasattr(aten, name)}


def var_mean(
    x: torch.Tensor, dim: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `torch.var_mean`, in pieces: the rounding of the mean moves all that is centred by it."""
    mean = x.mean(dim, keepdim=True)
    centred = x - mean
    degrees = x.numel() // mean.numel() - (1 if correction is None else correction)
    var = (centred * centred).sum(dim, keepdim=keepdim) / degrees
    return var, mean.reshape(var.shape)


# PyTorch computes these in one piece, so that a mode does not see what is rounded inside: here is a function for each that
# computes the same from smaller operators.
IN_PIECES: dict[Operator, Callable[..., Any]] = get_decompositions(
    [
        aten.native_batch_norm,
        aten.native_batch_norm_backward,
        aten._log_softmax,
        aten._log_softmax_backward_data,
        aten.binary_cross_entropy_with_logits,
        # Of these the branches are seen in pieces.
        aten.threshold_backward,
        aten.hardtanh_backward,
        aten.hardsigmoid_backward,
        aten.hardswish_backward,
        aten.leaky_relu_backward,
        aten.elu_backward,
        aten._prelu_kernel_backward,
        aten.smooth_l1_loss_backward,
        aten.huber_loss_backward,
        aten.hardshrink,
    ]
) | {aten.var_mean.correction: var_mean}

# Sums, whose first arguments are the terms and, where it has them, the dimensions.
SUMS = {aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim}

# Products of matrices, with the places of their two factors among the arguments.
PRODUCTS = {aten.dot.default: (0, 1), aten.mv.default: (0, 1), aten.mm.default: (0, 1), aten.bmm.default: (0, 1)} | {
    aten.addmv.default: (1, 2),
    aten.addmm.default: (1, 2),
    aten.baddbmm.default: (1, 2),
}

# These round nothing; an equality that code relies on, as of a maximum with what it was taken from, has to hold.
UNROUNDED = packets(
    "amax amin max min maximum minimum median sort topk clamp clamp_min clamp_max abs neg where index index_select gather "
    "clone _to_copy full full_like ones ones_like zeros zeros_like new_zeros new_full scatter max_pool2d_with_indices cat "
    "stack relu"
)

# These jump: a run is held to their results.
JUMPING = packets("sign sgn floor ceil round trunc heaviside floor_divide")

# These take a modulus or a conjugate, or divide by moduli, as factorisations do: they have no complex derivative.
MODULI = packets("angle vdot linalg_cholesky_ex _linalg_eigh _linalg_svd _linalg_slogdet linalg_qr linalg_lstsq linalg_pinv")


def rounds(operator: Operator) -> bool:
    """Whether the result of an operator is rounded: views, copies, fills and choices round nothing.

    Nor are results rounded that are written in place: the array that they are written to belongs to the code under test.
    """
    return makes_new(operator) and operator.overloadpacket not in UNROUNDED | JUMPING


def makes_new(operator: Operator) -> bool:
    """Whether the result of an operator is neither a view nor written into one of its arguments."""
    return not (operator.is_view or is_in_place(operator))


def is_in_place(operator: Operator) -> bool:
    """Whether an operator writes into one of its arguments."""
    return bool(operator._schema.is_mutable)


def draws(operator: Operator) -> bool:
    """Whether an operator draws random numbers."""
    return torch.Tag.nondeterministic_seeded in operator.tags


def jumps(operator: Operator) -> bool:
    """Whether the result of an operator changes by leaps."""
    return operator.overloadpacket in JUMPING


def has_complex_derivative(operator: Operator) -> bool:
    """Whether a complex argument keeps its derivative: False for those that are known to lose it."""
    return operator.overloadpacket not in MODULI


def pieces_of(operator: Operator) -> Callable[..., Any] | None:
    """A function that computes the same from smaller operators; None where PyTorch has none."""
    return decomposition_table.get(operator)


def name_of(operator: Operator) -> str:
    """The name of an operator in `torch`: "linalg_svd" of aten._linalg_svd.default."""
    return operator.overloadpacket.__name__.lstrip("_")


def public_name(operator: Operator) -> str:
    """What a user calls it: "torch.linalg.svd"."""
    module, _, name = name_of(operator).partition("_")
    return f"torch.{module}.{name}" if module in ("linalg", "special") else f"torch.{name_of(operator)}"


class OperatorMode(TorchDispatchMode):
    """Inside it every operator that PyTorch dispatches, forward and backward, goes through `run`, which a subclass defines.

    `run` itself is outside of the mode: what it calls does not go through `run` again, unless it enters the mode.
    """

    def run(self, operator: Operator, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """What stands for `operator(*arguments, **keywords)`."""
        raise NotImplementedError

    def __torch_dispatch__(
        self, operator: Operator, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        return self.run(operator, arguments, keywords or {})

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled in here; newer versions of PyTorch would import their compiler, two seconds, to say so."""
        return False
