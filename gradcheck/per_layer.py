"""What belongs to which layer: names such as gamma3, and lambda."""

import re
from collections.abc import Sequence

import numpy as np

from gradcheck.errors import UserError

# Beyond it the squares of the penalty could overflow.
LARGEST_LAMBDA = 1e100


def split_name(tensor: str) -> tuple[str, int]:
    """("gamma", 3) of "gamma3"."""
    match = re.fullmatch(r"(\D+)(\d+)", tensor)
    if match is None:
        raise UserError(f"{tensor} is no name of a layer's parameter, as W1 or gamma3")
    return match[1], int(match[2])


def lambda_per_layer(lam: float | Sequence | np.ndarray, depth: int) -> tuple:
    """`lam` as a tuple of one number a layer; a single number stands for all of them. Negative or other counts raise.

    For stacked networks it holds one array (C,) a layer.
    """
    per_layer = tuple(lam) if np.ndim(lam) else (lam,) * depth
    if len(per_layer) != depth:
        raise UserError(f"lambda has {len(per_layer)} values, the network has {depth} layers with weights")
    # The bound is no float32, and arrays in a network's dtype are of numbers that were in range already.
    if not all((lam_l >= 0).all() if np.ndim(lam_l) else 0 <= lam_l <= LARGEST_LAMBDA for lam_l in per_layer):
        raise UserError(f"lambda must be from 0 to {LARGEST_LAMBDA:g}, got {lam}")
    return per_layer
