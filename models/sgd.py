"""One update of stochastic gradient descent, in PyTorch. Read beside `manual/sgd.py`."""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def sgd_step(parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], lr: float) -> None:
    """theta <- theta - lr dJ/dtheta for each parameter by name, in place."""
    for name, parameter in parameters.items():
        parameter.sub_(gradients[name], alpha=lr)
