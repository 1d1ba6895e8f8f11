"""One update of stochastic gradient descent, in NumPy. Read beside `models/sgd.py`."""

import numpy as np


def sgd(parameters, gradients, lr):
    """theta <- theta - lr dJ/dtheta for each parameter by name, in place; each gradient is overwritten by lr times itself."""
    for name, parameter in parameters.items():
        step = np.multiply(gradients[name], lr, out=gradients[name])
        parameter -= step
