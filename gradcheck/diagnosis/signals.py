"""What flows through a correct network, forward and backward: what a diagnosis builds its suspicions from."""

from dataclasses import dataclass

import numpy as np

# By layer, from 1; index 0 stands empty.
ByLayer = list[np.ndarray | None]


@dataclass(frozen=True)
class Signals:
    """Lists by layer, from 1; index 0 stands empty, but A[0] is the input X. All float64, of the mean loss alone, no penalty.

    S (n, m) leaves the linear map, S_tilde (n, m) the batch norm (None without it), A (n, m) the ReLU; `dS`, `dS_tilde` and
    `dA` are the derivatives of the loss by them, from autograd. `eps` is batch norm's.
    """

    A: ByLayer
    S: ByLayer
    S_tilde: ByLayer
    dA: ByLayer
    dS: ByLayer
    dS_tilde: ByLayer
    eps: float
