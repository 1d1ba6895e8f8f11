"""What flows through a correct network, forward and backward: what a diagnosis builds its suspicions from."""

from dataclasses import dataclass

from gradcheck.arrays import Array


@dataclass(frozen=True)
class Signals:
    """Arrays (n, m) by the number of their layer, from 1; A[0] is the input X. All are float64, of the mean loss alone.

    S leaves the linear map, S_tilde the batch norm (empty without it), A the ReLU; `dS`, `dS_tilde` and `dA` are the
    derivatives of the loss by them, from autograd, without a penalty. `eps` is batch norm's.
    """

    A: dict[int, Array]
    S: dict[int, Array]
    S_tilde: dict[int, Array]
    dA: dict[int, Array]
    dS: dict[int, Array]
    dS_tilde: dict[int, Array]
    eps: float
