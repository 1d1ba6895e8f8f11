"""The data sets, their splits and their normalisation.

An image is a row of 3072 bytes: 32x32 red, then green, then blue, each plane row by row. Images stay bytes (for CIFAR-10
memory-mapped ones) until `normalise` makes the one float copy that somebody asked for.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gradcheck.errors import UserError
from lab.data.synthetic import draw_synthetic

SOURCES = ("synthetic", "cifar10", "folder")

# Shares of the training images, as (train, validation); the names are those of CIFAR-10's 50,000. `small` is data_batch_1
# and data_batch_2, the others hold out the last images.
SPLITS = {"small": (0.2, 0.2), "45000": (0.9, 0.1), "49000": (0.98, 0.02)}

PARTS = ("train", "val", "test")
NORMALISATIONS = ("train", "each-part", "each-file", "scalar")
# CIFAR-10's training images are published in so many files.
FILES = 5

# Images summed at a time: in uint64 the sums are exact, and a chunk stays in the cache.
CHUNK = 1000


class Part(NamedTuple):
    """Images (n, 3072) uint8 and their classes (n,) int64."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Data:
    """The three parts of a data set, of which `train` and `val` are cut from the images `whole` (N, 3072).

    `normalisation` says by whose mean and standard deviation an image is normalised, pixel by pixel:

    - "train": those of the training part, the course's rule;
    - "each-part": those of the part that the image is in;
    - "each-file": those of its fifth of `whole`, as CIFAR-10's five files are, or of the test part;
    - "scalar": one mean and one standard deviation of all pixels of `whole`.
    """

    train: Part
    val: Part
    test: Part
    classes: tuple[str, ...]
    whole: np.ndarray
    val_start: int
    normalisation: str = "train"

    def normalise(self, part, dtype=np.float64, rows=slice(None)):
        """(image - mean) / std of those `rows` of `part`, its name, as (n, 3072) of `dtype`. What never varies becomes 0."""
        images, of = getattr(self, part).images[rows], self._normalised_by(part)[rows]
        X = images.astype(dtype)
        for k in np.unique(of):
            mean, std = self._moments[k]
            chosen = slice(None) if (of == k).all() else of == k
            X[chosen] -= mean.astype(dtype)
            X[chosen] /= np.where(std > 0, std, 1).astype(dtype)
        return X

    def _normalised_by(self, part):
        """For each image of a part, which of `_moments` it is normalised by, (n,)."""
        n = len(getattr(self, part).labels)
        if self.normalisation == "each-part":
            return np.full(n, PARTS.index(part))
        if self.normalisation == "each-file":
            start = {"train": 0, "val": self.val_start}.get(part)
            return np.full(n, FILES) if start is None else (start + np.arange(n)) * FILES // len(self.whole)
        return np.zeros(n, int)

    @cached_property
    def _moments(self):
        """(mean, standard deviation) of each set of images that images are normalised by."""
        if self.normalisation == "train":
            return [moments(self.train.images)]
        if self.normalisation == "each-part":
            return [moments(getattr(self, part).images) for part in PARTS]
        if self.normalisation == "each-file":
            return [moments(images) for images in (*np.array_split(self.whole, FILES), self.test.images)]
        mean, std = moments(self.whole)
        return [(mean.mean(), np.sqrt((std**2).mean() + mean.var()))]


def moments(images):
    """Mean and (biased) standard deviation of each pixel of images (n, 3072), float64 (3072,), from exact integer sums."""
    total, squares = np.zeros((2, images.shape[1]), np.uint64)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK].astype(np.uint16)
        total += chunk.sum(axis=0, dtype=np.uint64)
        squares += (chunk * chunk).sum(axis=0, dtype=np.uint64)  # 255^2 still fits 16 bits
    n = np.uint64(len(images))
    variance = (n * squares - total * total).astype(np.float64) / float(n) ** 2
    return total / float(n), np.sqrt(variance)


def load(source, data_dir, split="small", seed=0, normalisation="train"):
    """The named data set, as a Data. `seed` draws the synthetic one and means nothing to the others. Raises UserError."""
    # torchvision takes two seconds to import, so only those wait for it who need it.
    if source == "cifar10":
        from lab.data.cifar10 import load_cifar10

        train, test, classes = load_cifar10(data_dir)
    elif source == "folder":
        from lab.data.folder import load_folder

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
    train_rows, val_rows = slice(n_train), slice(n_train, n_train + n_val)
    parts = (Part(train.images[rows], train.labels[rows]) for rows in (train_rows, val_rows))
    return Data(*parts, test, classes, train.images, n_train, normalisation)
