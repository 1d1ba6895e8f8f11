"""How far two correct gradients may differ: the uncertainty that floating-point rounding alone leaves in each tensor.

It is measured by stochastic arithmetic (Vignes 2004). PyTorch computes cost and gradients again with the parameters, the
input and every intermediate result, forward and backward, changed by one rounding unit, up or down at random. The largest
change of a tensor over a few such runs, times SAFETY, is the absolute error that is rounding and no bug. Changing the
intermediate results too is what shows the cancellations inside a backward pass: P - Y where the network is sure, and the
bias before a batch norm, whose gradient is a sum that cancels to exactly 0.
"""

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch._decomp import get_decompositions
from torch.utils._python_dispatch import TorchDispatchMode

# Half a unit in the last place of 1: what rounding to nearest may change.
UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
DRAWS, ATTEMPTS = 4, 64
SAFETY = 32

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


class RoundingNoise(TorchDispatchMode):
    """Changes every floating result inside it by one `unit`, relatively; with `unit` 0 it only takes note.

    `patterns` are the sign patterns of the ReLUs that ran.
    """

    def __init__(self, unit, generator):
        super().__init__()
        self.unit, self.generator, self.patterns = unit, generator, []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function in IN_ONE_PIECE:
            with self:
                return IN_ONE_PIECE[function](*arguments, **(keywords or {}))
        out = function(*arguments, **(keywords or {}))
        if function is aten.relu.default:
            self.patterns.append(out > 0)
        return torch.utils._pytree.tree_map_only(torch.Tensor, self.change, out) if self.computes(function) else out

    def computes(self, function):
        """Views, copies and fills round nothing; results written in place belong to somebody else."""
        return self.unit and not function.is_view and not function._schema.is_mutable

    def change(self, out):
        if not out.is_floating_point():
            return out
        signs = torch.randint(0, 2, out.shape, generator=self.generator).to(out) * 2 - 1
        return out * (1 + 2 * self.unit * signs)


def rounding_uncertainty(evaluate, inputs, dtype):
    """The uncertainty of each quantity that `evaluate(inputs) -> dict of arrays` returns, as a dict of numbers.

    `evaluate` computes with PyTorch on the CPU, in `dtype`; `inputs` is a dict of float64 arrays. A run that switches a
    ReLU has another gradient, not a rounded one, and is drawn again. Infinity says that nothing is known: every run
    switched one, or a result was not finite.
    """
    # Many small operations: threads would only wait for each other.
    with threadpool_limits(1):
        return {name: SAFETY * change for name, change in largest_changes(evaluate, inputs, dtype).items()}


def largest_changes(evaluate, inputs, dtype):
    """The largest change of each quantity over DRAWS runs of stochastic arithmetic."""
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    unit = UNIT[dtype]
    with RoundingNoise(0, generator) as exact_run:
        exact = evaluate(inputs)
    largest, draws = dict.fromkeys(exact, 0.0), 0
    for _ in range(ATTEMPTS):
        changed = {name: array * (1 + 2 * unit * rng.choice([-1.0, 1.0], array.shape)) for name, array in inputs.items()}
        with RoundingNoise(unit, generator) as run:
            values = evaluate(changed)
        if any((ours != theirs).any() for ours, theirs in zip(run.patterns, exact_run.patterns, strict=True)):
            continue
        for name, value in values.items():
            change = np.max(np.abs(value - exact[name]))
            largest[name] = max(largest[name], float(change)) if np.isfinite(change) else np.inf
        draws += 1
        if draws == DRAWS:
            break
    return largest if draws else dict.fromkeys(exact, np.inf)
