"""Stochastic arithmetic for PyTorch code: a dispatch mode that rounds every result up or down at random (see `draws.py`)."""

import torch
from torch._decomp import get_decompositions
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from gradcheck.rounding.draws import over_draws

aten = torch.ops.aten
# PyTorch computes these in one piece; rounding happens inside, so they are taken apart.
IN_ONE_PIECE = get_decompositions(
    [
        aten.native_batch_norm,
        aten.native_batch_norm_backward,
        aten._log_softmax,
        aten._log_softmax_backward_data,
        aten.binary_cross_entropy_with_logits,
    ]
)
SUMS = (aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim)
# With the places of their two factors.
PRODUCTS = {aten.dot.default: (0, 1), aten.mv.default: (0, 1), aten.mm.default: (0, 1), aten.bmm.default: (0, 1)} | {
    aten.addmv.default: (1, 2),
    aten.addmm.default: (1, 2),
    aten.baddbmm.default: (1, 2),
}


# They round nothing; an equality that code relies on, as of a maximum with what it was taken from, has to hold.
NAMES = (
    "amax amin max min maximum minimum median sort topk clamp clamp_min clamp_max abs neg where index index_select gather clone"
)
NAMES += (
    " _to_copy full full_like ones ones_like zeros zeros_like new_zeros new_full scatter max_pool2d_with_indices cat stack relu"
)
UNROUNDED = {getattr(aten, name) for name in NAMES.split() if hasattr(aten, name)}


def var_mean(x, dim=None, *, correction=None, keepdim=False):
    """As `torch.var_mean`, in pieces: the rounding of the mean moves all that is centred by it."""
    mean = x.mean(dim, keepdim=True)
    centred = x - mean
    degrees = x.numel() // mean.numel() - (1 if correction is None else correction)
    var = (centred * centred).sum(dim, keepdim=keepdim) / degrees
    return var, mean.reshape(var.shape)


IN_ONE_PIECE[aten.var_mean.correction] = var_mean


def chooses(tensor):
    """Whether it holds choices, truth values or indices, and no results."""
    return not (tensor.is_floating_point() or tensor.is_complex())


def partial_sums(x, dims):
    """The sums of x over `dims` as a loop passes them: an array like x, each entry the sum of those up to it."""
    last = tuple(range(-len(dims), 0))
    moved = x.movedim(dims, last)
    return moved.flatten(-len(dims)).cumsum(-1).reshape(moved.shape).movedim(last, dims)


def drift(A, B):
    """How far, in units, the roundings of its partial sums take each entry of A (..., n, k) times B (..., k, m): (..., n, m).

    Partial sums that grow evenly to S and are rounded at random move it by sqrt(k / 3) |S|. Where the terms have mixed signs
    they do not grow like that, and the noise of the terms themselves shows more: the share of S in the sum of |terms| says so.
    """
    S, of_sizes = A @ B, A.abs() @ B.abs()  # (..., n, m)
    share = S.abs() / of_sizes.clamp(min=torch.finfo(S.dtype).tiny)  # (..., n, m)
    return (A.shape[-1] / 3) ** 0.5 * share * S.abs()  # (..., n, m)


class RoundingNoise(TorchDispatchMode):
    """Changes every floating result inside it by one `unit`, relatively; with `unit` 0 it only takes note.

    `patterns` are the sign patterns of the ReLUs, the results of comparisons and the indices that were chosen.
    """

    def __init__(self, unit, generator):
        super().__init__()
        self.unit, self.generator, self.patterns = unit, generator, []

    @classmethod
    def _should_skip_dynamo(cls):
        """Nothing is compiled in here; PyTorch would import its compiler, two seconds, to say so."""
        return False

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function in IN_ONE_PIECE:
            with self:
                return IN_ONE_PIECE[function](*arguments, **(keywords or {}))
        if function in SUMS and self.unit and arguments[0].is_floating_point() and arguments[0].ndim:
            arguments = (self.changed_on_the_way(*arguments[:2]), *arguments[1:])
        out = function(*arguments, **(keywords or {}))
        if function in PRODUCTS and self.unit and out.is_floating_point():
            A, B = (arguments[place] for place in PRODUCTS[function])
            out = out + 2 * self.unit * self.signs(out) * drift(A, B)
        if function is aten.relu.default:
            self.patterns.append(out > 0)
        self.patterns += [each for each in tree_leaves(out) if isinstance(each, torch.Tensor) and chooses(each)]
        if not self.computes(function):
            return out
        # A tree of one leaf without the tree: most results are.
        return self.change(out) if isinstance(out, torch.Tensor) else tree_map_only(torch.Tensor, self.change, out)

    def computes(self, function):
        """Views, copies, fills and choices round nothing; results written in place belong to somebody else."""
        rounds = not function.is_view and function.overloadpacket not in UNROUNDED
        return self.unit and rounds and not function._schema.is_mutable

    def change(self, out):
        return out * self.signs(out).mul_(2 * self.unit).add_(1) if out.is_floating_point() or out.is_complex() else out

    def changed_on_the_way(self, x, dims=None):
        """x such that its sum over `dims`, by default all, is one in which each partial sum was rounded."""
        return x + 2 * self.unit * self.signs(x) * partial_sums(x, tuple(dims or range(x.ndim)))

    def signs(self, x):
        dtype = x.real.dtype if x.is_complex() else x.dtype
        return torch.randint(0, 2, x.shape, generator=self.generator, dtype=dtype).mul_(2).sub_(1).to(x.device)


def rounding_uncertainty(evaluate, inputs, dtype):
    """The uncertainty of each quantity that `evaluate(inputs) -> dict of arrays` returns, as a dict of arrays of their shapes.

    `evaluate` computes with PyTorch, in `dtype`; `inputs` is a dict of float64 arrays. Infinity says that nothing is known:
    every run switched a ReLU, or a result was not finite.
    """
    generator = torch.Generator().manual_seed(0)

    def run(inputs, unit):
        with RoundingNoise(unit, generator) as noise:
            return evaluate(inputs), noise.patterns

    return over_draws(run, inputs, dtype)
