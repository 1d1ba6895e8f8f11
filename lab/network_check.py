"""A network of `networks.py` and its twin as a subject of gradcheck: the forward functions of `manual/` make the chain."""

import numpy as np

import gradcheck
from gradcheck import ORACLES, Chain
from gradcheck.errors import UserError
from gradcheck.per_layer import lambda_per_layer
from gradcheck.subject import no_progress
from manual import layers
from manual.mlp import activate, loss_forward


def check_network(
    name, claimed, reference, X, y, lams, oracles=ORACLES, advance=no_progress, sample=None, seed=0, pictures=False
):
    """`gradcheck.check_network` of two twins of `reference.network` at X (n, d), y (n,)."""
    network = reference.network
    chain, per_layer = chain_of(network, claimed.parameters, X, y), [lambda_per_layer(lam, network.depth) for lam in lams]
    return gradcheck.check_network(name, claimed, reference, chain, y, per_layer, oracles, advance, sample, seed, pictures)


def draw_batch(images, n, seed):
    """X (n, 3072) in float64 and y (n,): n images of the training part, drawn with the seed. Raises UserError."""
    available = len(images.train.labels)
    if n > available:
        raise UserError(f"--batch-size {n} is over the {available:,} images of the training part")
    rows = np.sort(np.random.default_rng(seed).choice(available, n, replace=False))
    return images.normalise("train", rows=rows), images.train.labels[rows]


def chain_of(network, parameters, X, y):
    """The manual forward pass in training mode at X (n, d), y (n,), as a Chain in float64."""

    def activation(S, gamma, beta):
        kept = {"out": np.empty_like(S), "S_hat": S} if network.batch_norm else {"out": S}
        A, (_, active), _ = activate(network, S, gamma, beta, **kept)
        return A, active

    return Chain(
        parameters={name: np.array(array, np.float64) for name, array in parameters.items()},
        X=np.array(X, np.float64),
        linear=lambda A, W, b, out: layers.linear_forward(A, W, b, out)[0],
        activate=activation,
        loss=lambda logits, rows: loss_forward(network.loss, logits, y[rows])[0] * (len(rows) / len(y)),
    )
