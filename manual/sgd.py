"""One update of stochastic gradient descent, in NumPy. Read beside `models/sgd.py`."""

import numpy as np

from gradcheck.arrays import Array
from manual.layers import along


def sgd_step(parameters: dict[str, Array], gradients: dict[str, Array], lr: float | Array) -> None:
    """theta <- theta - lr dJ/dtheta for each parameter by name, in place; each gradient is overwritten by lr times itself.

    `lr` is a number, or (C,) for stacked parameters.
    """
    for name, parameter in parameters.items():
        step = np.multiply(gradients[name], along(lr, parameter), out=gradients[name])
        parameter -= step
