"""The parts of a data set, and how their images are normalised.

An image is a row of 3072 bytes: 32x32 red, then green, then blue, each plane row by row. Images stay bytes (for CIFAR-10
memory-mapped ones) until `Data.normalise` copies those that are asked for into floats.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from gradcheck.errors import UserError

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


class Source(NamedTuple):
    """A data set as it comes: the images to train and to validate on, those to test on, and the names of the classes."""

    train: Part
    test: Part
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Data:
    """The three parts of a data set, of which `train` and `val` are cut from the images `whole` (N, 3072).

    `val_start` is the row of `whole` where `val` starts. `normalisation` says by whose mean and standard deviation an image is
    normalised, pixel by pixel:

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

    def part(self, name: str) -> Part:
        """The part of that name, one of PARTS."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def normalise(self, name: str, dtype: DTypeLike = np.float64, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """(image - mean) / std of those `rows` of the part `name`, (n, 3072). A pixel that never varies becomes 0."""
        images, moments_of = self.part(name).images[rows], self._moments_of(name)[rows]  # (n, 3072), (n,)
        X = images.astype(dtype)
        for k in np.unique(moments_of):
            mean, std = self._moments[k]
            chosen = slice(None) if (moments_of == k).all() else moments_of == k
            X[chosen] -= mean.astype(dtype)
            X[chosen] /= np.where(std > 0, std, 1).astype(dtype)
        return X

    def _moments_of(self, name: str) -> np.ndarray:
        """For each image of a part, the index (n,) of its mean and standard deviation in `_moments`."""
        n = len(self.part(name).labels)
        if self.normalisation == "each-part":
            return np.full(n, PARTS.index(name))
        if self.normalisation == "each-file":
            start = {"train": 0, "val": self.val_start}.get(name)
            return np.full(n, FILES) if start is None else (start + np.arange(n)) * FILES // len(self.whole)
        return np.zeros(n, int)

    @cached_property
    def _moments(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(mean, standard deviation) of each set of images that images are normalised by."""
        if self.normalisation == "train":
            return [moments(self.train.images)]
        if self.normalisation == "each-part":
            return [moments(self.part(name).images) for name in PARTS]
        if self.normalisation == "each-file":
            return [moments(images) for images in (*np.array_split(self.whole, FILES), self.test.images)]
        mean, std = moments(self.whole)
        return [(mean.mean(), np.sqrt((std**2).mean() + mean.var()))]


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (biased) standard deviation of each pixel of images (n, 3072), float64 (3072,), from exact integer sums."""
    total, squares = np.zeros((2, images.shape[1]), np.uint64)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK].astype(np.uint16)
        total += chunk.sum(axis=0, dtype=np.uint64)
        squares += (chunk * chunk).sum(axis=0, dtype=np.uint64)  # 255^2 still fits 16 bits
    n = np.uint64(len(images))
    variance = (n * squares - total * total).astype(np.float64) / float(n) ** 2
    return total / float(n), np.sqrt(variance)


def draw_batch(images: Data, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X (n, 3072), float64 and normalised, and y (n,): n images of the training part, drawn with the seed.

    Raises UserError where the training part has fewer.
    """
    available = len(images.train.labels)
    if n > available:
        raise UserError(f"--batch-size {n} is over the {available:,} images of the training part")
    rows = np.sort(np.random.default_rng(seed).choice(available, n, replace=False))
    return images.normalise("train", rows=rows), images.train.labels[rows]
