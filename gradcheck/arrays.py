"""The types that the numerical parts share."""

from collections.abc import Mapping

import numpy as np

Array = np.ndarray
# Arrays by the name of their tensor.
Arrays = Mapping[str, Array]
