"""How far rounding may move what a correct twin computes: measured on the reference, a few times."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from gradcheck.rounding.draws import SAFETY, UNIT
from lab.walking.reference import Batch, Noise, Outcome, Tensors

# How often rounding is drawn. All entries of a tensor are allowed what the worst of them needs: few draws find that.
DRAWS = 4

# A pass of the reference: `run(state, batch, noise)`.
Run = Callable[[Tensors, Batch, Noise], Outcome]


class Expected(NamedTuple):
    """What a pass computes in float64, and how far off each of its values may be, (C,) by name.

    Rounding may switch a ReLU whose input is as near to 0 as `margins` say, (C,) for each hidden layer.
    """

    outcome: Outcome
    allowed: dict[str, Tensor]
    margins: list[Tensor]


def expect(run: Run, state: Tensors, batch: Batch, dtype: str) -> Expected:
    """What `run` computes at `state` and `batch`, and how far rounding to `dtype` may move it.

    Beside the run in float64 there are DRAWS in `dtype`, with every number of the state, and what cancels on the way, changed
    by up to one unit in the last place. What changes at most, over all entries, is the rounding of a tensor. A sum over n rows,
    one after another, adds sqrt(n / 3) units of itself, as in `gradcheck/rounding/torch_noise.py`.
    """
    exact, unit, generator = run(state, batch, None), UNIT[dtype], torch.Generator().manual_seed(0)

    def noise(tensor: Tensor) -> Tensor:
        drawn = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
        return drawn.mul_(4 * unit).sub_(2 * unit).to(tensor.device)

    draws, in_dtype = [], getattr(torch, dtype)
    for _ in range(DRAWS):
        changed = {name: (tensor * (1 + noise(tensor))).to(in_dtype) for name, tensor in state.items()}
        draws.append(run(changed, batch.to(in_dtype), noise))

    def uncertainty(value: Tensor, drawn: list[Tensor], terms: int) -> Tensor:
        change = torch.stack([largest(each - value) for each in drawn]).amax(dim=0)  # (C,)
        found = change + (1 + (terms / 3) ** 0.5) * unit * largest(value)
        return (SAFETY * found).nan_to_num(nan=torch.inf, posinf=torch.inf)

    n, inputs = len(batch.y), list(enumerate(exact.inputs))
    allowed = {name: uncertainty(value, [draw.values[name] for draw in draws], n) for name, value in exact.values.items()}
    return Expected(exact, allowed, [uncertainty(S, [draw.inputs[k] for draw in draws], 1) for k, S in inputs])


def largest(value: Tensor) -> Tensor:
    """The largest entry, by size, of each network's share of a tensor (C, ...): (C,)."""
    return value.abs().reshape(len(value), -1).amax(dim=1).double()
