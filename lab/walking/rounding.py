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


class Draws:
    """Draws of the rounding to `dtype` at one `state`: every number of it is changed by up to one unit in the last place."""

    def __init__(self, state: Tensors, dtype: str) -> None:
        self.state, self.dtype, self.unit = state, getattr(torch, dtype), UNIT[dtype]
        self.generator = torch.Generator().manual_seed(0)
        self.states = [
            {name: (tensor * (1 + self.noise(tensor))).to(self.dtype) for name, tensor in state.items()} for _ in range(DRAWS)
        ]

    def noise(self, tensor: Tensor) -> Tensor:
        """As many numbers as `tensor` has, each up to one unit in the last place of 1."""
        drawn = torch.rand(tensor.shape, generator=self.generator, dtype=tensor.dtype)
        return drawn.mul_(4 * self.unit).sub_(2 * self.unit).to(tensor.device)


def expect(run: Run, draws: Draws, batch: Batch) -> Expected:
    """What `run` computes at the state and `batch`, and how far rounding may move it.

    Beside the run in float64 there is one in the dtype at each draw of the state, where what cancels on the way is changed
    too. What changes at most, over all entries, is the rounding of a tensor. A sum over n rows, one after another, adds
    sqrt(n / 3) units of itself, as in `gradcheck/rounding/torch_noise.py`.
    """
    exact, rounded = run(draws.state, batch, None), batch.to(draws.dtype)
    found = [run(state, rounded, draws.noise) for state in draws.states]

    def uncertainty(value: Tensor, drawn: list[Tensor], terms: int) -> Tensor:
        change = torch.stack([largest(each - value) for each in drawn]).amax(dim=0)  # (C,)
        own = (1 + (terms / 3) ** 0.5) * draws.unit * largest(value)
        return (SAFETY * (change + own)).nan_to_num(nan=torch.inf, posinf=torch.inf)

    n, inputs = len(batch.y), list(enumerate(exact.inputs))
    allowed = {name: uncertainty(value, [draw.values[name] for draw in found], n) for name, value in exact.values.items()}
    return Expected(exact, allowed, [uncertainty(S, [draw.inputs[k] for draw in found], 1) for k, S in inputs])


def largest(value: Tensor) -> Tensor:
    """The largest entry, by size, of each network's share of a tensor (C, ...): (C,)."""
    return value.abs().reshape(len(value), -1).amax(dim=1).double()
