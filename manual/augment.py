"""What a batch goes through before the network, in NumPy. Read beside `models/augment.py`."""

import numpy as np

from gradcheck.arrays import Array
from networks import IMAGE_SHAPE


def flip(X: Array, flipped: Array, mirrored: Array) -> Array:
    """X (n, 3072) with the images where `flipped` (n,) is true mirrored left to right, in place.

    `mirrored` is an array like X that may be overwritten.
    """
    images = X.reshape(-1, *IMAGE_SHAPE)  # (n, 3, 32, 32)
    np.copyto(mirrored.reshape(images.shape), images[..., ::-1])
    np.copyto(X, mirrored, where=flipped[:, None])
    return X
