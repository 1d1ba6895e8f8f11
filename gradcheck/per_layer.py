"""What belongs to which layer: names such as gamma3, and lambda."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from gradcheck.arrays import Arrays
from gradcheck.errors import UserError
from gradcheck.faults import counted

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
        raise UserError(
            f"lambda has {counted(len(per_layer), 'value')}, the network has {counted(depth, 'layer')} with weights"
        )
    if not all(0 <= number <= LARGEST_LAMBDA for number in per_layer):
        raise UserError(f"lambda must be from 0 to {LARGEST_LAMBDA:g}, got {lam}")
    return per_layer


def check_shapes(network: str, arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError where `arrays`, the state of `network`, lacks a name, has one too many, or has another shape."""
    wrong = sorted(shapes.keys() ^ arrays.keys())
    if wrong:
        raise UserError(f"{wrong[0]}: {'missing in' if wrong[0] in shapes else 'not part of'} the state of {network}")
    misshapen = [name for name, shape in shapes.items() if np.shape(arrays[name]) != shape]
    if misshapen:
        name = misshapen[0]
        raise UserError(f"{name}: shape {tuple(np.shape(arrays[name]))}, but {network} has {shapes[name]}")
