"""The losses and the penalty in PyTorch: twin of `manual/losses.py`. Autograd derives the backward.

`logits` is (n, K), `y` (n,) holds the class of each row. A loss is the mean over the n rows, a tensor of one number.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def softmax_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean of -log p_y with p = softmax(logits)."""
    return F.cross_entropy(logits, y)


def binary_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over rows and classes of -y log p - (1-y) log(1-p) with p = sigmoid(logits)."""
    Y = F.one_hot(y, logits.shape[-1]).to(logits.dtype)  # (n, K)
    return F.binary_cross_entropy_with_logits(logits, Y)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": softmax_cross_entropy,
    "sigmoid": binary_cross_entropy,
}


def l2_penalty(weights: Sequence[Tensor], lam: Sequence[float] | Tensor) -> Tensor:
    """sum_l lam_l sum_ij W_l,ij^2: no 1/2 and no 1/n.

    `lam` holds one number a layer, or one tensor (C,) a layer, for stacked weights (C, m, d).
    """
    squares = (lam_l * (W * W).sum(dim=(-2, -1)) for W, lam_l in zip(weights, lam, strict=True))
    return sum(squares, start=torch.zeros(()))
