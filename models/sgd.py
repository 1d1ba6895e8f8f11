"""One update of stochastic gradient descent, in PyTorch. Read beside `manual/sgd.py`."""

import torch


@torch.no_grad()
def sgd(parameters, gradients, lr):
    """theta <- theta - lr dJ/dtheta for each parameter by name, in place."""
    for name, parameter in parameters.items():
        parameter.sub_(gradients[name], alpha=lr)
