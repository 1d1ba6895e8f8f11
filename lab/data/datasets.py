"""The data sets by name, and how their training images are split."""

from pathlib import Path

from gradcheck.errors import UserError
from lab.data.parts import Data, Part, Source
from lab.data.synthetic import draw_synthetic

SOURCES = ("synthetic", "cifar10", "folder")

# Shares of the training images, as (train, validation); the names are those of CIFAR-10's 50,000. `small` is data_batch_1
# and data_batch_2, the others hold out the last images.
SPLITS = {"small": (0.2, 0.2), "45000": (0.9, 0.1), "49000": (0.98, 0.02)}


def load(source: str, data_dir: str | Path, split: str = "small", seed: int = 0, normalisation: str = "train") -> Data:
    """The data set `source`, one of SOURCES, cut as `split`, one of SPLITS.

    `data_dir` is the folder of the images. `seed` draws the synthetic ones, which need no folder; the others ignore it.
    `normalisation` is that of `Data`. Raises UserError where images are missing, damaged or too few.
    """
    found = read_source(source, data_dir, seed)
    n = len(found.train.labels)
    train_share, val_share = SPLITS[split]
    n_train, n_val = round(train_share * n), round(val_share * n)
    if not (n_train and n_val and len(found.test.labels)):
        raise UserError(f"{data_dir}: {n + len(found.test.labels)} images are too few for the split {split}; add images")
    # `small` takes the two first fifths, the others all there is: validation always follows training.
    train, val = (Part(*(array[rows] for array in found.train)) for rows in (slice(n_train), slice(n_train, n_train + n_val)))
    return Data(train, val, found.test, found.classes, found.train.images, n_train, normalisation)


def read_source(source: str, data_dir: str | Path, seed: int) -> Source:
    """The data set as it comes. torchvision, which takes two seconds to import, is imported only where it reads the images."""
    if source == "cifar10":
        from lab.data.cifar10 import load_cifar10

        return load_cifar10(data_dir)
    if source == "folder":
        from lab.data.folder import load_folder

        return load_folder(data_dir)
    return draw_synthetic(seed)
