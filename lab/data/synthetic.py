"""Images that are drawn here, so that everything runs with no download: ten classes, learnable but not trivial.

Each class is a few coarse colour patterns. An image is one of them, shifted, with a contrast and a brightness of its own,
under heavy noise. All arithmetic is on integers and RandomState's stream is frozen: one seed means the same bytes on every
machine and with every NumPy.
"""

import numpy as np

from lab.data.parts import Part, Source

CLASSES = tuple(f"pattern {k}" for k in range(10))
TRAINING_IMAGES, TEST_IMAGES = 10_000, 2_000
PATTERNS_A_CLASS = 3
LARGEST_SHIFT = 4
BLOCK = 500


def draw_synthetic(seed: int) -> Source:
    """10,000 images to train and to validate on, and 2,000 to test on."""
    rng = np.random.RandomState(seed)
    coarse = rng.randint(0, 256, (len(CLASSES), PATTERNS_A_CLASS, 3, 4, 4))
    patterns = (coarse.repeat(8, axis=-1).repeat(8, axis=-2) - 128).astype(np.int16)  # (classes, patterns, 3, 32, 32)
    labels = rng.randint(0, len(CLASSES), TRAINING_IMAGES + TEST_IMAGES)
    images = np.empty((len(labels), 3, 32, 32), np.uint8)
    for start in range(0, len(labels), BLOCK):
        images[start : start + BLOCK] = draw_block(rng, patterns, labels[start : start + BLOCK])
    flat = images.reshape(len(labels), -1)  # (n, 3072)
    train, test = slice(None, TRAINING_IMAGES), slice(TRAINING_IMAGES, None)
    return Source(Part(flat[train], labels[train]), Part(flat[test], labels[test]), CLASSES)


def draw_block(rng: np.random.RandomState, patterns: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """An image for each label, as integers from 0 to 255, (n, 3, 32, 32); `patterns` is (classes, patterns, 3, 32, 32)."""
    n = len(labels)
    chosen = patterns[labels, rng.randint(0, PATTERNS_A_CLASS, n)]  # (n, 3, 32, 32)
    for image in chosen:
        image[:] = np.roll(image, rng.randint(-LARGEST_SHIFT, LARGEST_SHIFT + 1, 2), axis=(1, 2))
    contrast = rng.randint(8, 48, (n, 1, 1, 1)).astype(np.int16)  # of 256
    brightness = rng.randint(-32, 33, (n, 1, 1, 1)).astype(np.int16)
    # The sum of two dice of 256 sides: noise with its peak in the middle.
    dice = np.frombuffer(rng.bytes(2 * chosen.size), np.uint8).reshape(2, *chosen.shape)
    noise = dice[0].astype(np.int16) + dice[1] - 255
    return (128 + brightness + contrast * chosen // 256 + noise // 2).clip(0, 255)
