"""Images of your own: a folder with one subfolder a class, read by `torchvision.datasets.ImageFolder`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import ImageFolder

from gradcheck.errors import UserError, one_line
from lab.data.parts import Part, Source

# As many as in CIFAR-10: ten thousand of sixty.
TEST_SHARE = 1 / 6


def load_folder(data_dir: str | Path) -> Source:
    """The images of DIR/train and DIR/test, or those of DIR, of which a sixth is test.

    Either way the images are in an order that is shuffled, and always the same. Raises UserError.
    """
    data_dir = Path(data_dir)
    if (data_dir / "train").is_dir() and (data_dir / "test").is_dir():
        (train, classes), (test, test_classes) = (read(data_dir / part) for part in ("train", "test"))
        if classes != test_classes:
            raise UserError(f"{data_dir}: the classes of train, {', '.join(classes)}, are not those of test")
        return Source(train, test, classes)
    (images, labels), classes = read(data_dir)
    n = round(len(labels) * (1 - TEST_SHARE))
    return Source(Part(images[:n], labels[:n]), Part(images[n:], labels[n:]), classes)


def read(folder: Path) -> tuple[Part, tuple[str, ...]]:
    """The images of one folder of class folders, shuffled, and the names of the classes. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give --data-dir one with a subfolder of images for each class")
    try:
        found = ImageFolder(folder)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{folder}: {one_line(error).rstrip('.')}; it wants a subfolder of images for each class") from error
    if len(found.classes) < 2:
        raise UserError(f"{folder} holds one class, {found.classes[0]}; at least two are needed")
    images = np.empty((len(found), 3072), np.uint8)
    for row, (path, _) in enumerate(found.samples):
        images[row] = read_image(path, found.loader)
    # RandomState's stream is frozen, so the order is the same with every NumPy.
    order = np.random.RandomState(0).permutation(len(found))
    return Part(images[order], np.array(found.targets, np.int64)[order]), tuple(found.classes)


def read_image(path: str, loader: Callable[[str], Image.Image]) -> np.ndarray:
    """One image as a row of planes R, G, B (3072,) uint8. Raises UserError where it is damaged or of another size."""
    try:
        image = loader(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for broken files
        raise UserError(f"{path} is not an image that can be read ({one_line(error)}); remove or replace it") from error
    if image.size != (32, 32):
        raise UserError(f"{path} is {image.size[0]}x{image.size[1]} pixels; the networks take 32x32: resize the images first")
    return np.asarray(image).transpose(2, 0, 1).ravel()
