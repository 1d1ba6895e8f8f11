"""What belongs to which layer: names such as gamma3, and lambda."""

import re
from collections.abc import Sequence

import numpy as np

from gradcheck.errors import UserError

# One number for all layers, or one a layer.
Lambda = float | Sequence[float] | np.ndarray

# Beyond it the squares of the penalty could overflow.
LARGEST_LAMBDA = 1e100


def split_name(tensor: str) -> tuple[str, int]:
    """("gamma", 3) of "gamma3". Raises UserError where the name does not end in the number of a layer."""
    match = re.fullmatch(r"(\D+)(\d+)", tensor)
    if match is None:
        raise UserError(f"{tensor!r} does not name a layer's parameter, as W1 or gamma3 do")
    return match[1], int(match[2])


def lambda_per_layer(lam: Lambda, depth: int) -> tuple[float, ...]:
    """One number for each of `depth` layers; a single number stands for all of them.

    Raises UserError where there are not as many numbers as layers, or where one is not from 0 to LARGEST_LAMBDA.
    """
    numbers = np.asarray(lam).tolist()
    per_layer = tuple(numbers) if isinstance(numbers, list) else (numbers,) * depth
    if len(per_layer) != depth:
        raise UserError(f"lambda has {len(per_layer)} values, the network has {depth} layers with weights")
    if not all(0 <= number <= LARGEST_LAMBDA for number in per_layer):
        raise UserError(f"lambda must be from 0 to {LARGEST_LAMBDA:g}, got {lam}")
    return per_layer
