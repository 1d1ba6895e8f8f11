"""What a batch goes through before the network, in PyTorch. Read beside `manual/augment.py`."""

import torch
from torch import Tensor

from networks import IMAGE_SHAPE


def flip(X: Tensor, flipped: Tensor) -> Tensor:
    """X (n, 3072) with the images where `flipped` (n,) is true mirrored left to right."""
    images = X.reshape(-1, *IMAGE_SHAPE)  # (n, 3, 32, 32)
    return torch.where(flipped[:, None], images.flip(-1).reshape(X.shape), X)
