"""What a batch goes through before the network, in NumPy. Read beside `models/augment.py`."""

import numpy as np

from networks import IMAGE_SHAPE


def flip(X, flipped, mirrored):
    """X (n, 3072) with the images where `flipped` (n,) is true mirrored left to right, in place; `mirrored` is like X."""
    images = X.reshape(-1, *IMAGE_SHAPE)  # (n, 3, 32, 32)
    np.copyto(mirrored.reshape(images.shape), images[..., ::-1])
    np.copyto(X, mirrored, where=flipped[:, None])
    return X
