"""How far an update of the walk goes: far enough to be seen, and to where no ReLU stands at its kink."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lab.walking import reference
from lab.walking.reference import Batch, Tensors
from lab.walking.rounding import Expected, largest
from networks import Network

# The largest step of an update is this part of the tensor's largest entry.
STEP = 1 / 8
# How often a rate is taken down to a quarter, to keep clear of kinks.
TRIES = 12


def learning_rates(network: Network, state: Tensors, expected: Expected, following: Batch | None) -> Tensor:
    """The rate of each network's update, (C,): after it no ReLU is at its kink at the batch `following`, if rates can do that.

    Neighbours have different rates. All are numbers that float32 holds too.
    """
    gradients = {name: expected.outcome.values[name] for name in network.parameter_shapes()}
    ratios = torch.stack([largest(state[name]) / largest(gradient) for name, gradient in gradients.items()])  # (tensors, C)
    ratios = torch.where((ratios > 0) & ratios.isfinite(), ratios, torch.inf)
    smallest = ratios.amin(dim=0).clamp(2.0**-60, 2.0**60)  # (C,)
    uneven = 1 + torch.arange(len(smallest), device=smallest.device) % 8 / 8
    rates = 2.0 ** (STEP * smallest).log2().floor() * uneven
    if following is None:
        return rates
    for _ in range(TRIES):
        moved = {name: state[name] - along(rates, gradient) * gradient for name, gradient in gradients.items()}
        with torch.no_grad():
            _, inputs, _ = reference.forward(network, {**state, **moved}, following.X, training=True)
        crossed = kinks(inputs, expected.margins) > 0
        if not crossed.any():
            break
        rates = torch.where(crossed, rates / 4, rates)
    return rates


def kinks(inputs: Sequence[Tensor], margins: Sequence[Tensor]) -> Tensor:
    """The last hidden layer of each network at whose ReLUs an input is as near to 0 as `margins`, (C,); 0 where none is."""
    if not inputs:
        return torch.zeros(1)
    at = torch.stack([S.abs().amin(dim=(1, 2)) <= margin for S, margin in zip(inputs, margins, strict=True)])  # (layers, C)
    return (at * torch.arange(1, len(inputs) + 1, device=at.device)[:, None]).amax(dim=0)


def along(numbers: Tensor, array: Tensor) -> Tensor:
    """Numbers (C,) in the shape (C, 1, ...) that goes with `array`."""
    return numbers.view(-1, *[1] * (array.ndim - 1))
