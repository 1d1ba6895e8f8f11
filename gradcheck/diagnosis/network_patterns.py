"""What kind of bug makes a gradient wrong: each suspicion predicts the gradient that the bug would give.

A suspicion is believed only if its prediction explains the whole of claimed - reference, up to a small share. There are three
sorts: of what reaches a layer from above (a mask, a path of batch norm: the tensors of the layer are wrong together), of a
tensor's own formula (a factor, the penalty, an image left out), and of its form alone (a transpose, a row, an entry). What a
wrong layer further up explains is said to follow from it. Nothing here is a verdict: those are made before.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradcheck.diagnosis.patterns import NOT_FINITE, evidence_in_words, explains, forms, other_factor, unexplained
from gradcheck.diagnosis.signals import Signals
from gradcheck.per_layer import split_name

FOLLOWS = "it follows from layer "
# Slopes of a leaky ReLU.
LEAKS = (0.01, 0.1, 0.2)


@dataclass(frozen=True)
class Evidence:
    """A wrong gradient and the truth, for one lambda.

    `claimed`, `reference`, `parameters` map names to float64 arrays, `rounding` to what rounding may change; `lam` holds one
    number a layer. `signals` are what flows through the correct network (A, S, S_tilde, dA, dS, dS_tilde by layer, of the
    loss without its penalty; see `signals.py`).
    """

    claimed: dict
    reference: dict
    rounding: dict
    parameters: dict
    lam: tuple
    signals: Signals

    @property
    def n(self):
        return len(self.signals.A[0])

    @property
    def depth(self):
        return len(self.lam)

    def penalty(self, layer):
        """What the penalty adds to dJ/dW of a layer, (m, d)."""
        return 2 * self.lam[layer - 1] * self.parameters[f"W{layer}"]

    def is_right(self, name):
        return bool(np.abs(self.claimed[name] - self.reference[name]).max() <= self.rounding[name])

    def unexplained(self, prediction, name):
        """The share of claimed - reference that `prediction` of the gradient of `name` leaves."""
        return unexplained(prediction, self.claimed[name], self.reference[name])

    def explains(self, prediction, name):
        """Whether `prediction` is the claimed gradient of `name`, up to rounding or a small share of its error."""
        return explains(prediction, self.claimed[name], self.reference[name], self.rounding[name])

    def predictions(self, layer, upstream):
        """The gradients of a layer's tensors by name, if `upstream` reaches it."""
        dS_tilde, dS = upstream.dS_tilde, upstream.dS
        predicted = {f"W{layer}": dS.T @ self.signals.A[layer - 1] + self.penalty(layer), f"b{layer}": dS.sum(axis=0)}
        if dS_tilde is not None and self.signals.S_tilde[layer] is not None:
            S_hat, _ = normalised(self, layer)
            predicted |= {f"gamma{layer}": (dS_tilde * S_hat).sum(axis=0), f"beta{layer}": dS_tilde.sum(axis=0)}
        return predicted


class Upstream(NamedTuple):
    """What a suspicion says reaches a layer: behind its ReLU, dS_tilde (n, m), and behind its batch norm, dS (n, m)."""

    sentence: str
    dS_tilde: np.ndarray
    dS: np.ndarray
    consequence: str = ""

    def behind(self, layer):
        """The same, with the words for the layers further down that suffer from it."""
        follows = self.sentence.startswith(FOLLOWS)
        return self._replace(consequence=self.sentence if follows else f"{FOLLOWS}{layer}, where {self.sentence}")


class Formula(NamedTuple):
    """What a suspicion says the gradient of a single tensor is."""

    sentence: str
    prediction: np.ndarray


def diagnose(cases, wrong):
    """A sentence for each of the tensors named in `wrong`, or None where no suspicion explains it.

    `cases` are the same network and data at several lambdas, and a suspicion has to explain all of them: also that the
    gradient is right where it is.
    """
    found, above = {}, [None] * len(cases)
    # What is PyTorch's gradient and fails by another oracle shows no pattern.
    wrong = [name for name in wrong if not all(case.is_right(name) for case in cases)]
    for layer in range(cases[0].depth, 0, -1):
        own = [name for name in wrong if split_name(name)[1] == layer]
        above = believed_by_all([believed_upstreams(c, layer, a) for c, a in zip(cases, above, strict=True)]) if own else None
        for name in own:
            formula = None if above else believed_by_all([believed_formulas(case, name, layer) for case in cases])
            if above:
                predictions = [case.predictions(layer, u)[name] for case, u in zip(cases, above, strict=True)]
                found[name] = with_evidence(cases, name, above[0].sentence, predictions)
            elif formula:
                found[name] = with_evidence(cases, name, formula[0].sentence, [each.prediction for each in formula])
        above = [u.behind(layer) for u in above] if above else [None] * len(cases)
    return {name: found.get(name) for name in wrong}


def with_evidence(cases, name, sentence, predictions):
    """The diagnosis in full, with the share of claimed - reference that it leaves where that is largest."""
    wrong = [(case, prediction) for case, prediction in zip(cases, predictions, strict=True) if not case.is_right(name)]
    left = max(case.unexplained(prediction, name) for case, prediction in wrong)
    return evidence_in_words(name, sentence, left)


def believed_by_all(by_sentence):
    """What each case has under the first sentence that all cases have; None if there is none."""
    return next(([each[s] for each in by_sentence] for s in by_sentence[0] if all(s in each for each in by_sentence)), None)


def believed_upstreams(case, layer, above):
    return {
        suspicion.sentence: suspicion
        for suspicion in upstreams(case, layer, above)
        if all(case.explains(g, name) for name, g in case.predictions(layer, suspicion).items())
    }


def believed_formulas(case, name, layer):
    claimed = case.claimed[name]
    if not np.isfinite(claimed).all():
        return {NOT_FINITE: Formula(NOT_FINITE, claimed)}
    return {s: Formula(s, prediction) for s, prediction in formulas(case, name, layer) if case.explains(prediction, name)}


def upstreams(case, layer, above):
    """Suspicions of what reaches a layer, each an Upstream, the simplest first; `above` is what reaches the layer above."""
    s, last = case.signals, layer == case.depth
    if last:
        yield from wrong_losses(case)
        return
    dS_above = above.dS if above else s.dS[layer + 1]  # (n, m')
    dA, active = dS_above @ case.parameters[f"W{layer + 1}"], s.A[layer] > 0  # (n, m)
    if above:
        yield behind_relu(case, layer, above.consequence, dA * active)
    masks = [
        ("the mask of the ReLU is missing", dA),
        ("the mask of the ReLU is inverted", dA * ~active),
        ("the mask of the ReLU is taken from the gradient instead of the activation", dA * (dA > 0)),
        ("the sign is wrong at the ReLU", -dA * active),
        *((f"the mask of the ReLU leaks: {slope} stands for 0", dA * np.where(active, 1, slope)) for slope in LEAKS),
    ]
    for image in range(case.n):
        masks.append(
            (f"image {image} of the batch is left out at the ReLU", dA * active * (np.arange(case.n) != image)[:, None])
        )
    for other in range(1, case.depth):
        if other != layer and s.A[other].shape == dA.shape:
            masks.append((f"the mask of the ReLU is that of layer {other}", dA * (s.A[other] > 0)))
    W_above = case.parameters[f"W{layer + 1}"]
    if W_above.shape[0] == W_above.shape[1]:
        words = f"W{layer + 1} is transposed in the product that passes the gradient on to this layer"
        masks.append((words, (dS_above @ W_above.T) * active))
    for sentence, dS_tilde in masks:
        yield behind_relu(case, layer, sentence, dS_tilde)
    for c, cause in factors(case):
        yield behind_relu(case, layer, f"what comes from above is multiplied by {cause}", c * dA * active)
    if s.S_tilde[layer] is not None:
        yield from wrong_norms(case, layer, dA * active)


def wrong_losses(case):
    """Suspicions of the loss's backward, dS = (P - Y) / n for softmax, and over the number of classes too for the sigmoid."""
    dS = case.signals.dS[case.depth]  # (n, K)
    for c, cause in factors(case):
        yield Upstream(f"all that comes from the loss is multiplied by {cause}", c * dS, c * dS)
    for image in range(case.n):
        alone = dS * (np.arange(case.n) == image)[:, None]  # (n, K)
        yield Upstream(f"image {image} of the batch is left out", dS - alone, dS - alone)
        yield Upstream(f"image {image} of the batch is counted twice", dS + alone, dS + alone)
    # The class of an image is the only one that its loss pulls up.
    Y = np.eye(dS.shape[1])[dS.argmin(axis=1)]  # (n, K)
    softmax = np.abs(dS.sum(axis=1)).max() <= 1e-9 * np.abs(dS).max()
    size = case.n * (1 if softmax else dS.shape[1])
    P = size * dS + Y  # (n, K)
    for sentence, wrong in (
        ("the labels are not subtracted: p stands for p - y", P),
        ("the labels are those of the image before", P - np.roll(Y, 1, axis=0)),
        ("the labels are those of the image behind", P - np.roll(Y, -1, axis=0)),
        ("it is that of a squared error, with a factor p (1 - p) too much", (P - Y) * P * (1 - P)),
    ):
        yield Upstream(f"{sentence}, in the backward pass of the loss", wrong / size, wrong / size)


def behind_relu(case, layer, sentence, dS_tilde):
    """The Upstream that dS_tilde (n, m) becomes in a correct batch norm, or without one."""
    if case.signals.S_tilde[layer] is None:
        return Upstream(sentence, dS_tilde, dS_tilde)
    S_hat, scale = normalised(case, layer)
    dS = scale * (dS_tilde - dS_tilde.mean(axis=0) - S_hat * (dS_tilde * S_hat).mean(axis=0))
    return Upstream(sentence, dS_tilde, dS)


def normalised(case, layer):
    """S_hat (n, m), and gamma over the standard deviation (m,)."""
    S = case.signals.S[layer]
    inv_std = 1 / np.sqrt(S.var(axis=0) + case.signals.eps)  # (m,)
    return (S - S.mean(axis=0)) * inv_std, inv_std * case.parameters[f"gamma{layer}"]


def wrong_norms(case, layer, d):
    """Suspicions of batch norm's backward, from d (n, m), dJ/dS_tilde."""
    n = case.n
    S_hat, scale = normalised(case, layer)
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


def factors(case):
    """Factors with a likely cause, as (number, words)."""
    n, classes = case.n, case.signals.dS[-1].shape[1]
    yield 0.5, "1/2"
    yield 2.0, "2"
    yield -1.0, "-1: the sign is wrong"
    yield 0.0, "0: it is missing"
    yield float(n), f"{n}: the mean over the {n} images is missing"
    yield 1 / n, f"1/{n}: it is averaged over the {n} images twice"
    yield float(classes), f"{classes}: the mean over the {classes} classes is missing"
    yield 1 / classes, f"1/{classes}: it is averaged over the {classes} classes too often"
    if n > 1:
        yield n / (n - 1), f"{n}/{n - 1}: n - 1 stands for n"
        yield (n - 1) / n, f"{n - 1}/{n}: n stands for n - 1"


def formulas(case, name, layer):
    """Suspicions of a tensor's own formula and form, as (words, predicted gradient), the simplest first."""
    claimed, reference = case.claimed[name], case.reference[name]
    penalty = case.penalty(layer) if name.startswith("W") else None
    yield from forms(claimed, reference, case.rounding[name], case.reference, name, penalty)
    for c, cause in factors(case):
        yield f"it is multiplied by {cause}", c * reference
    if name.startswith("W"):
        yield from weight_formulas(case, name, layer)
    else:
        yield from vector_formulas(case, name, layer)
    yield from other_factor(claimed, reference)


def vector_formulas(case, name, layer):
    """Suspicions of dJ/db = sum of dS, of dJ/dbeta = sum of dS_tilde, and of dJ/dgamma = sum of dS_tilde * S_hat, each (m,)."""
    reference, parameter, s = case.reference[name], case.parameters[name], case.signals
    kind, _ = split_name(name)
    terms = s.dS[layer] if kind == "b" else s.dS_tilde[layer]  # (n, m)
    if kind == "gamma":
        S_hat, _ = normalised(case, layer)
        terms = terms * S_hat  # (n, m)
        yield "the output of batch norm stands for S_hat: gamma is a factor too much", reference * parameter
    for image in range(case.n):
        yield f"image {image} of the batch is left out", reference - terms[image]
        yield f"image {image} of the batch is counted twice", reference + terms[image]
    yield "it is summed over the units too", np.full_like(reference, reference.sum())
    c = np.vdot(case.claimed[name] - reference, parameter) / max(np.vdot(parameter, parameter), np.finfo(float).tiny)
    yield f"{c:.6g} * {name} is added: a penalty, which {name} has not", reference + c * parameter


def weight_formulas(case, name, layer):
    """Suspicions of dJ/dW = dS^T A + 2 lambda W."""
    claimed, reference, penalty = case.claimed[name], case.reference[name], case.penalty(layer)
    data, W = reference - penalty, case.parameters[name]
    words = f"2*lambda*{name}"
    yield f"the penalty's {words} is missing", data
    for other, lam in enumerate(case.lam, start=1):
        if other != layer:
            yield f"its penalty takes the lambda of layer {other}", data + 2 * lam * W
    yield f"it has lambda*{name} where the cost's derivative is {words}", data + 0.5 * penalty
    for c, cause in factors(case):
        yield f"its penalty {words} is multiplied by {cause}", data + c * penalty
        yield f"its data term (all but the penalty) is multiplied by {cause}", c * data + penalty
    for direction, of in ((penalty, f" times its penalty {words}"), (np.sign(W), f" * sign({name}), as of an absolute value,")):
        c = np.vdot(claimed - reference, direction) / max(np.vdot(direction, direction), np.finfo(float).tiny)
        yield f"{c:.6g}{of} is added", reference + c * direction
    A, dS = case.signals.A[layer - 1], case.signals.dS[layer]
    for before, of in ((case.signals.S, "linear map"), (case.signals.S_tilde, "batch norm")):
        if layer > 1 and before[layer - 1] is not None:
            yield f"the {of} below stands for what its ReLU hands on", dS.T @ before[layer - 1] + penalty
    # The coefficient of each image's own dS_i^T A_i in claimed - reference, as if it were alone there.
    sizes = (dS * dS).sum(axis=1) * (A * A).sum(axis=1)  # (n,)
    coefficients = ((dS @ (claimed - reference)) * A).sum(axis=1) / np.maximum(sizes, np.finfo(float).tiny)  # (n,)
    for c, words in ((-1, "left out"), (1, "counted twice")):
        image = np.abs(coefficients - c).argmin()
        yield f"image {image} of the batch is {words}", reference + c * np.outer(dS[image], A[image])
