"""Suspicions of what reaches a layer from above: a loss, a mask, a path of batch norm. All tensors of the layer are wrong then.

Each function yields an Upstream for each suspicion, the simplest first.
"""

from collections.abc import Iterator

import numpy as np

from gradcheck.arrays import Array
from gradcheck.diagnosis.evidence import Evidence, Upstream, factors
from gradcheck.diagnosis.explanation import projection

# What is usually added to p before its logarithm.
GUARDS = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)

# Slopes of a leaky ReLU.
LEAKS = (0.01, 0.1, 0.2)


def upstreams(case: Evidence, layer: int, above: Upstream | None) -> Iterator[Upstream]:
    """All of them; `above` is what reaches the layer above, if that is wrong and known."""
    if layer == case.depth:
        yield from wrong_losses(case)
        return
    W_above, dS_above = case.parameters[f"W{layer + 1}"], above.dS if above else case.signals.dS[layer + 1]
    dA, active = dS_above @ W_above, case.signals.A[layer] > 0  # (n, m) each
    if above:
        yield behind_relu(case, layer, above.consequence, dA * active)
    for sentence, dS_tilde in wrong_masks(case, layer, dA):
        yield behind_relu(case, layer, sentence, dS_tilde)
    if W_above.shape[0] == W_above.shape[1]:
        words = f"W{layer + 1} is transposed in the product that passes the gradient on to this layer"
        yield behind_relu(case, layer, words, (dS_above @ W_above.T) * active)
    for c, cause, fitted in (*with_likely_causes(case), any_factor(case, layer)):
        words = f"what comes from above is multiplied by {cause}"
        yield behind_relu(case, layer, words, c * dA * active)._replace(fitted=fitted)
    if case.has_batch_norm(layer):
        yield from wrong_norms(case, layer, dA * active)


def with_likely_causes(case: Evidence) -> Iterator[tuple[float, str, int]]:
    """Factors as (number, words, fitted)."""
    for c, cause in factors(case):
        yield c, cause, 0


def any_factor(case: Evidence, layer: int) -> tuple[float, str, int]:
    """The factor of the layer's data term, by regression, as (number, words, fitted)."""
    c = projection(*case.data_term(layer))
    return c, f"{c:.6g}", 1


def wrong_losses(case: Evidence) -> Iterator[Upstream]:
    """Of the loss's backward, dS = (P - Y) / n for softmax, and over the number of classes too for the sigmoid."""
    dS = case.signals.dS[case.depth]  # (n, K)
    for c, cause, fitted in (*with_likely_causes(case), any_factor(case, case.depth)):
        yield Upstream(f"all that comes from the loss is multiplied by {cause}", c * dS, c * dS, fitted=fitted)
    for image in range(case.n):
        alone = dS * (np.arange(case.n) == image)[:, None]  # (n, K)
        yield Upstream(f"image {image} of the batch is left out", dS - alone, dS - alone)
        yield Upstream(f"image {image} of the batch is counted twice", dS + alone, dS + alone)
    # The class of an image is the only one that its loss pulls up.
    Y = np.eye(dS.shape[1])[dS.argmin(axis=1)]  # (n, K)
    softmax = np.abs(dS.sum(axis=1)).max() <= 1e-9 * np.abs(dS).max()
    size = case.n * (1 if softmax else dS.shape[1])
    P = size * dS + Y  # (n, K)
    smoothing = smoothed_away(case, Y, size)
    for sentence, wrong, fitted in (
        ("the labels are not subtracted: p stands for p - y", P, 0),
        ("the labels are those of the image before", P - np.roll(Y, 1, axis=0), 0),
        ("the labels are those of the image behind", P - np.roll(Y, -1, axis=0), 0),
        ("each row subtracts the labels of all rows: [:, y] stands for [range(n), y]", P - Y.max(axis=0), 0),
        ("it is that of a squared error, with a factor p (1 - p) too much", (P - Y) * P * (1 - P), 0),
        (f"the labels are smoothed by {smoothing:.4g} there, and not in the cost", P - smoothed(Y, smoothing), 1),
        *((words, guarded, 0) for words, guarded in with_guards(P, Y, softmax)),
    ):
        yield Upstream(f"{sentence}, in the backward pass of the loss", wrong / size, wrong / size, fitted=fitted)


def smoothed(Y: Array, share: float) -> Array:
    """Labels Y (n, K) with `share` of each spread evenly over the classes."""
    return (1 - share) * Y + share / Y.shape[1]


def smoothed_away(case: Evidence, Y: Array, size: int) -> float:
    """The share by which labels Y (n, K) that are smoothed explain the last layer's claimed dJ/dW best."""
    claimed, right = case.data_term(case.depth)
    by_share = ((Y - 1 / Y.shape[1]) / size).T @ case.signals.A[case.depth - 1]  # (K, m), d(dJ/dW) / d share
    return projection(claimed - right, by_share)


def with_guards(P: Array, Y: Array, softmax: bool) -> Iterator[tuple[str, Array]]:
    """P - Y (n, K) as the derivative of log(p + eps) for the log(p) of the cost, for each usual eps."""
    for eps in GUARDS:
        own, other = P / (P + eps), (1 - P) / (1 - P + eps)  # (n, K)
        guarded = (P - Y) * (own * Y).sum(axis=1, keepdims=True) if softmax else P * (1 - Y) * other - Y * (1 - P) * own
        yield f"it has a guard, log(p + {eps:.0e}), that the cost leaves out", guarded


def wrong_masks(case: Evidence, layer: int, dA: Array) -> Iterator[tuple[str, Array]]:
    """Of the ReLU's mask, from dA (n, m): (words, dS_tilde)."""
    A = case.signals.A
    active = A[layer] > 0  # (n, m)
    yield "the mask of the ReLU is missing", dA
    yield "the mask of the ReLU is inverted", dA * ~active
    yield "the mask of the ReLU is taken from the gradient instead of the activation", dA * (dA > 0)
    yield "the sign is wrong at the ReLU", -dA * active
    for slope in LEAKS:
        yield f"the mask of the ReLU leaks: {slope} stands for 0", dA * np.where(active, 1, slope)
    for image in range(case.n):
        words = f"image {image} of the batch is left out at the ReLU"
        yield words, dA * active * (np.arange(case.n) != image)[:, None]
    for other in range(1, case.depth):
        if other != layer and A[other].shape == dA.shape:
            yield f"the mask of the ReLU is that of layer {other}", dA * (A[other] > 0)


def behind_relu(case: Evidence, layer: int, sentence: str, dS_tilde: Array) -> Upstream:
    """The Upstream that dS_tilde (n, m) becomes in a correct batch norm, or without one."""
    if not case.has_batch_norm(layer):
        return Upstream(sentence, dS_tilde, dS_tilde)
    S_hat, scale = case.normalised(layer)
    dS = scale * (dS_tilde - dS_tilde.mean(axis=0) - S_hat * (dS_tilde * S_hat).mean(axis=0))
    return Upstream(sentence, dS_tilde, dS)


def wrong_norms(case: Evidence, layer: int, dS_tilde: Array) -> Iterator[Upstream]:
    """Of batch norm's backward, from dS_tilde (n, m)."""
    n, d = case.n, dS_tilde
    S_hat, scale = case.normalised(layer)
    gamma = case.parameters[f"gamma{layer}"]
    mean_path, var_path = d.mean(axis=0), S_hat * (d * S_hat).mean(axis=0)
    for sentence, dS in (
        ("the path through the batch's variance is missing", scale * (d - mean_path)),
        ("the path through the batch's mean is missing", scale * (d - var_path)),
        ("the paths through the batch's mean and variance are missing", scale * d),
        ("n - 1 stands for n", scale * (d - (mean_path + var_path) * n / (n - 1))),
        ("gamma is missing", scale / gamma * (d - mean_path - var_path)),
        ("the division by the standard deviation is missing", gamma * (d - mean_path - var_path)),
    ):
        yield Upstream(f"{sentence}, in the backward pass of batch norm", d, dS)
