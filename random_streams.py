"""The random streams: what is drawn for one purpose never moves what the same seed draws for another."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """One stream of a seed for each purpose. Every seeded result rests on these numbers: a new purpose takes a new one.

    7 is taken by `gradcheck`, which stands alone; the weights of `networks.initial_state` are drawn from the seed itself.
    """

    OFF_ZEROS = 1  # the noise that moves a state off its zeros and ones
    BATCHES = 2  # the order of the images in each epoch, and which of them are mirrored
    VERIFIED_ENTRIES = 3  # the entries of each tensor that training verifies
    INITIAL_BIASES = 4
    COARSE_POINTS = 5  # the order of the values of a search's coarse round
    WALK = 6  # the images of the updates before training


def random_stream(seed: int, stream: Stream) -> np.random.Generator:
    """A generator at the start of this stream of `seed`, an integer of at least 0."""
    return np.random.default_rng([seed, stream])
