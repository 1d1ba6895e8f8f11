"""Where the walk goes: states at which a bug shows that hides at the first weights, and no ReLU stands at its kink."""

from typing import NamedTuple

import torch
from torch import Tensor

from gradcheck.per_layer import split_name
from lab.walking.reference import Tensors, linear, relu_input
from networks import Network

# The powers of the factor of the weights that a layer is multiplied by, with the statistics that such weights leave behind.
POWERS = {"W": 1, "running_mean": 1, "running_var": 2}


class Point(NamedTuple):
    """Weights of the hidden layers, and their running statistics, times `factor`; the weights of the last layer such that
    logits are `spread` apart, if it is given.

    There the walk takes one update with each of `batches`: "same" is the batch size of the training, "other" another one.
    """

    words: str
    factor: float
    spread: float | None
    batches: tuple[str, ...]


POINTS = (
    Point("weights as they are", 1, None, ("same", "same", "other")),
    # Far beyond what a bound on a gradient, or on a logit, lets through.
    Point("large weights", 16, 30, ("other",)),
    # Variances far below what they are at first.
    Point("small weights", 1 / 256, None, ("other",)),
    # e^-745 is 0 in float64, e^-104 in float32.
    Point("logits 2,000 apart", 1, 2000, ("same",)),
)


def state_at(point: Point, network: Network, state: Tensors, batches: list[Tensor]) -> Tensors:
    """The state (C, ...) at a point of the walk, for `batches` X (n, d) that the walk takes there."""
    hidden = {
        name: array * point.factor ** POWERS[kind]
        for name, array in state.items()
        for kind, layer in [split_name(name)]
        if kind in POWERS and layer < network.depth
    }
    state, outputs = off_kinks(network, {**state, **hidden}, batches)
    if point.spread is None:
        return state
    last = network.depth
    factors = point.spread / spread(linear(state, last, outputs[0]))  # (C,)
    W, b = state[f"W{last}"], state[f"b{last}"]
    return {**state, f"W{last}": W * factors[:, None, None], f"b{last}": b * factors[:, None]}


def spread(logits: Tensor) -> Tensor:
    """How far apart the largest logits of two rows are, or where those are all but equal, the logits of a row: (C,), not 0."""
    largest = logits.amax(dim=2)  # (C, n)
    of_rows, of_classes = largest.amax(dim=1) - largest.amin(dim=1), (largest - logits.amin(dim=2)).amax(dim=1)  # (C,) each
    apart = torch.where(of_rows > of_classes / 100, of_rows, of_classes)
    return torch.where(apart > 0, apart, torch.ones_like(apart))


def off_kinks(network: Network, state: Tensors, batches: list[Tensor]) -> tuple[Tensors, list[Tensor]]:
    """The state with biases, or beta, moved a little: no input of a ReLU is near to 0 at any row of `batches`, X (n, d) each.

    Returns what goes into the last layer too, for each of the batches.
    """
    moved, outputs = dict(state), batches
    for layer in range(1, network.depth):
        inputs = [relu_input(network, moved, layer, A, training=True)[0] for A in outputs]  # (C, n, m) each
        shift = into_gaps(torch.cat(inputs, dim=1))  # (C, m)
        name = f"beta{layer}" if network.batch_norm else f"b{layer}"
        moved[name] = moved[name] + shift
        outputs = [(S + shift[:, None, :]).relu() for S in inputs]
    return moved, outputs


def into_gaps(inputs: Tensor) -> Tensor:
    """What is to be added to each unit's inputs (C, N, m) so that 0 lies in the middle of a wide gap between them: (C, m).

    Of the gaps near to 0 it is the widest; one further away has to be wider by as much as it is away. Beyond all inputs is a
    gap as well, which holds 0 already where no input has the other sign.
    """
    largest = inputs.abs().amax(dim=1, keepdim=True)  # (C, 1, m)
    beyond = torch.where(largest > 0, 4 * largest / inputs.shape[1], torch.ones_like(largest))
    low, high = inputs.amin(dim=1, keepdim=True), inputs.amax(dim=1, keepdim=True)
    ends = torch.minimum(-low, low - beyond), torch.maximum(-high, high + beyond)
    ordered = torch.cat([inputs, *ends], dim=1).sort(dim=1).values  # (C, N + 2, m)
    widths, middles = ordered.diff(dim=1), (ordered[:, 1:] + ordered[:, :-1]) / 2  # (C, N + 1, m)
    away = middles.abs()
    best = torch.where(away <= largest / 20, widths, widths - away).argmax(dim=1, keepdim=True)  # (C, 1, m)
    return -middles.gather(1, best)[:, 0]
