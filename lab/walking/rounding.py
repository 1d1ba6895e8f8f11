"""How far rounding may move what a correct twin computes: measured on the reference, in float32, a few times."""

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

    Beside the exact run there are DRAWS in float32 with every number of the state changed by one unit, up or down at random.
    What changes at most, over all entries, is the rounding of a tensor; in float64 it is as many times less as its unit. A sum
    over n rows, one after another, adds sqrt(n / 3) units of itself, as in `gradcheck/rounding/torch_noise.py`.
    """
    exact, single, unit = run(state, batch, None), batch.to(torch.float32), UNIT["float32"]
    generator = torch.Generator().manual_seed(0)
    draws = [run(changed(state, unit, generator), single, lambda tensor: unit * signs(tensor, generator)) for _ in range(DRAWS)]

    def uncertainty(value: Tensor, drawn: list[Tensor], terms: int) -> Tensor:
        change = torch.stack([largest(each - value) for each in drawn]).amax(dim=0)  # (C,)
        found = change + (1 + (terms / 3) ** 0.5) * unit * largest(value)
        return (SAFETY * UNIT[dtype] / unit * found).nan_to_num(nan=torch.inf, posinf=torch.inf)

    n, inputs = len(batch.y), list(enumerate(exact.inputs))
    allowed = {name: uncertainty(value, [draw.values[name] for draw in draws], n) for name, value in exact.values.items()}
    return Expected(exact, allowed, [uncertainty(S, [draw.inputs[k] for draw in draws], 1) for k, S in inputs])


def changed(state: Tensors, unit: float, generator: torch.Generator) -> Tensors:
    """The state in float32 with every number changed by one unit, up or down at random."""
    return {name: (tensor * (1 + 2 * unit * signs(tensor, generator))).float() for name, tensor in state.items()}


def signs(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Random numbers -1 and 1 of the shape of a tensor."""
    drawn = torch.randint(0, 2, tensor.shape, generator=generator, dtype=torch.int8)
    return drawn.mul_(2).sub_(1).to(tensor.device)


def largest(value: Tensor) -> Tensor:
    """The largest entry, by size, of each network's share of a tensor (C, ...): (C,)."""
    return value.abs().reshape(len(value), -1).amax(dim=1).double()
