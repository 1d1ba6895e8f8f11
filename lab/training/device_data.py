"""The parts of the data where a twin computes."""

from typing import NamedTuple

import numpy as np

from lab.data.parts import Data
from lab.twins import DeviceArray, OnDevice


class DeviceData(NamedTuple):
    """A part of the data where a twin computes: X (n, d) normalised and y (n,)."""

    X: DeviceArray
    y: DeviceArray


def normalised_part(images: Data, name: str, dtype: str) -> DeviceData:
    """The part `name` of the images, normalised in `dtype`, as NumPy arrays."""
    return DeviceData(images.normalise(name, dtype), np.array(images.part(name).labels))


def to_device(network: OnDevice, data: DeviceData) -> DeviceData:
    """NumPy arrays brought to where a twin or a stack computes, without a copy if they are there already."""
    return DeviceData(network.array(data.X), network.array(data.y))
