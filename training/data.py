"""The data sets, their splits and their normalisation.

An image is a row of 3072 bytes: 32x32 red, then green, then blue, each plane row by row. Images stay bytes (for CIFAR-10
memory-mapped ones) until `normalise` makes the one float copy that somebody asked for.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from errors import UserError
from training.synthetic import draw_synthetic

SOURCES = ("synthetic", "cifar10", "folder")

# Shares of the training images, as (train, validation); the names are those of CIFAR-10's 50,000. `small` is data_batch_1
# and data_batch_2, the others hold out the last images.
SPLITS = {"small": (0.2, 0.2), "45000": (0.9, 0.1), "49000": (0.98, 0.02)}

# Images summed at a time: in uint64 the sums are exact, and a chunk stays in the cache.
CHUNK = 1000


class Part(NamedTuple):
    """Images (n, 3072) uint8 and their classes (n,) int64."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Data:
    """The three parts of a data set, and the mean and standard deviation of each pixel over the training part alone."""

    train: Part
    val: Part
    test: Part
    classes: tuple[str, ...]

    @cached_property
    def moments(self):
        """Mean and (biased) standard deviation per pixel of the training part, float64 (3072,), from exact integer sums."""
        images = self.train.images
        total, squares = np.zeros((2, images.shape[1]), np.uint64)
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK].astype(np.uint16)
            total += chunk.sum(axis=0, dtype=np.uint64)
            squares += (chunk * chunk).sum(axis=0, dtype=np.uint64)  # 255^2 still fits 16 bits
        n = np.uint64(len(images))
        variance = (n * squares - total * total).astype(np.float64) / float(n) ** 2
        return total / float(n), np.sqrt(variance)

    def normalise(self, images, dtype=np.float64):
        """(image - mean) / std per pixel, as a new array (n, 3072) of `dtype`. A pixel that never varies becomes 0."""
        mean, std = self.moments
        X = images.astype(dtype)
        X -= mean.astype(dtype)
        X /= np.where(std > 0, std, 1).astype(dtype)
        return X


def load(source, data_dir, split="small", seed=0):
    """The named data set. `seed` draws the synthetic one and means nothing to the others. Raises UserError."""
    # torchvision takes two seconds to import, so only those wait for it who need it.
    if source == "cifar10":
        from training.cifar10 import load_cifar10

        train, test, classes = load_cifar10(data_dir)
    elif source == "folder":
        from training.folder import load_folder

        train, test, classes = load_folder(data_dir)
    else:
        train, test, classes = draw_synthetic(seed)
    train, test = Part(*train), Part(*test)
    n = len(train.labels)
    train_share, val_share = SPLITS[split]
    n_train, n_val = round(train_share * n), round(val_share * n)
    if not (n_train and n_val and len(test.labels)):
        raise UserError(f"{data_dir}: {n + len(test.labels)} images are too few for the split {split}; add images")
    # `small` takes the two first fifths, the others all there is: validation always follows training.
    val = slice(n_train, n_train + n_val)
    return Data(Part(train.images[:n_train], train.labels[:n_train]), Part(train.images[val], train.labels[val]), test, classes)
