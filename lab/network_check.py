"""A network of `networks.py` and its twin as a subject of gradcheck: the forward functions of `manual/` make the chain."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

import gradcheck
import manual
from gradcheck import ORACLES, Chain, CheckResult
from gradcheck.arrays import Array
from gradcheck.per_layer import Lambda
from gradcheck.subject import Advance, no_progress
from manual import layers, passes
from networks import Network

if TYPE_CHECKING:
    import models


def default_lambdas(network: Network) -> tuple[Lambda, ...]:
    """None, one for all layers, and another for each: a gradient that takes the lambda of a wrong layer shows only then."""
    return 0.0, 0.01, tuple(0.01 * layer for layer in range(1, network.depth + 1))


def check_network(
    name: str,
    claimed: manual.MLP,
    reference: "models.MLP",
    X: Array,
    y: Array,
    lams: Sequence[Lambda],
    oracles: tuple[str, ...] = ORACLES,
    advance: Advance = no_progress,
    sample: dict[str, Array] | None = None,
    seed: int = 0,
    pictures: bool = False,
) -> CheckResult:
    """`gradcheck.check_network` of two twins with the same state, at X (n, d), y (n,) and each lambda of `lams`."""
    return gradcheck.check_network(
        name,
        claimed,
        reference,
        chain_of(reference.network, claimed.parameters, X, y),
        y,
        lams,
        oracles=oracles,
        advance=advance,
        sample=sample,
        seed=seed,
        pictures=pictures,
    )


def chain_of(network: Network, parameters: Mapping[str, Array], X: Array, y: Array) -> Chain:
    """The manual forward pass in training mode at X (n, d), y (n,), as a Chain in float64."""

    def linear(A: Array, W: Array, b: Array, out: Array | None) -> Array:
        S, _ = layers.linear_forward(A, W, b, out)
        return S

    def activate(S: Array, gamma: Array | None, beta: Array | None) -> tuple[Array, Array]:
        # S may be overwritten: by S_hat in a batch norm, whose cache nothing needs here, and else by A.
        out, S_hat = (np.empty_like(S), S) if network.batch_norm else (S, None)
        A, (_, active), _ = passes.activate(S, gamma, beta, network.eps, out, S_hat)
        return A, active

    def loss(logits: Array, rows: Array) -> Array:
        mean, _ = passes.loss_forward(network.loss, logits, y[rows])
        return mean * (len(rows) / len(y))

    return Chain(
        parameters={name: np.array(array, np.float64) for name, array in parameters.items()},
        X=np.array(X, np.float64),
        linear=linear,
        activate=activate,
        loss=loss,
    )
