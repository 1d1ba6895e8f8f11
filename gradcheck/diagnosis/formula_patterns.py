"""Suspicions of a tensor's own formula and form: a factor, the penalty, an image left out. That tensor alone is wrong then."""

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnosis.evidence import Evidence, factors
from gradcheck.diagnosis.explanation import TINY, Suspicion, projection
from gradcheck.diagnosis.form_patterns import forms, other_factor, times
from gradcheck.per_layer import split_name


def formulas(case: Evidence, name: str) -> Iterator[Suspicion]:
    """All of them, the simplest first."""
    claimed, reference = case.claimed[name], case.reference[name]
    kind, layer = split_name(name)
    penalty = case.penalty(layer) if kind == "W" else None
    yield from forms(claimed, reference, case.rounding[name], case.reference, name, penalty)
    for c, cause in factors(case):
        yield times(c, cause, reference)
    yield from weight_formulas(case, layer) if kind == "W" else vector_formulas(case, kind, layer)
    yield from other_factor(claimed, reference)


def vector_formulas(case: Evidence, kind: str, layer: int) -> Iterator[Suspicion]:
    """Of dJ/db = sum of dS, of dJ/dbeta = sum of dS_tilde, and of dJ/dgamma = sum of dS_tilde * S_hat, each (m,)."""
    name, signals = f"{kind}{layer}", case.signals
    reference, parameter = case.reference[name], case.parameters[name]
    terms = signals.dS[layer] if kind == "b" else signals.dS_tilde[layer]  # (n, m)
    if kind == "gamma":
        S_hat, _ = case.normalised(layer)
        terms = terms * S_hat  # (n, m)
        yield Suspicion("the output of batch norm stands for S_hat: gamma is a factor too much", reference * parameter)
    for image in range(case.n):
        yield Suspicion(f"image {image} of the batch is left out", reference - terms[image])
        yield Suspicion(f"image {image} of the batch is counted twice", reference + terms[image])
        yield Suspicion(f"image {image} of the batch stands for all of them", terms[image])
    yield Suspicion("it is summed over the units too", np.full_like(reference, reference.sum()))
    c = projection(case.claimed[name] - reference, parameter)
    yield Suspicion(f"{c:.6g} * {name} is added: a penalty, which {name} has not", reference + c * parameter, fitted=1)


def weight_formulas(case: Evidence, layer: int) -> Iterator[Suspicion]:
    """Of dJ/dW = dS^T A + 2 lambda W."""
    yield from wrong_penalties(case, layer)
    name, penalty = f"W{layer}", case.penalty(layer)
    claimed, reference = case.claimed[name], case.reference[name]
    A, dS = case.signals.A[layer - 1], case.signals.dS[layer]
    for before, of in ((case.signals.S, "linear map"), (case.signals.S_tilde, "batch norm")):
        if layer - 1 in before:
            yield Suspicion(f"the {of} below stands for what its ReLU hands on", dS.T @ before[layer - 1] + penalty)
    # The coefficient of each image's own dS_i^T A_i in claimed - reference, as if it were alone there.
    sizes = (dS * dS).sum(axis=1) * (A * A).sum(axis=1)  # (n,)
    coefficients = ((dS @ (claimed - reference)) * A).sum(axis=1) / np.maximum(sizes, TINY)  # (n,)
    for c, words in ((-1, "left out"), (1, "counted twice")):
        image = np.abs(coefficients - c).argmin()
        yield Suspicion(f"image {image} of the batch is {words}", reference + c * np.outer(dS[image], A[image]))


def wrong_penalties(case: Evidence, layer: int) -> Iterator[Suspicion]:
    """Of 2 lambda W, and of the rest of dJ/dW without it."""
    name, penalty = f"W{layer}", case.penalty(layer)
    claimed, reference, W = case.claimed[name], case.reference[name], case.parameters[name]
    data, words = reference - penalty, f"2*lambda*{name}"
    yield Suspicion(f"the penalty's {words} is missing", data)
    for other, lam in enumerate(case.lam, start=1):
        if other != layer:
            yield Suspicion(f"its penalty takes the lambda of layer {other}", data + 2 * lam * W)
            if case.parameters[f"W{other}"].shape == W.shape:
                other_W = case.parameters[f"W{other}"]
                yield Suspicion(f"its penalty is that of W{other}", data + case.penalty(other))
                yield Suspicion(f"its penalty takes the weights W{other}", data + 2 * case.lam[layer - 1] * other_W)
    yield Suspicion(f"it has lambda*{name} where the cost's derivative is {words}", data + 0.5 * penalty)
    for c, cause in factors(case):
        yield Suspicion(f"its penalty {words} is multiplied by {cause}", data + c * penalty)
        yield Suspicion(f"its data term (all but the penalty) is multiplied by {cause}", c * data + penalty, amplifies=abs(c))
    for direction, of in ((penalty, f" times its penalty {words}"), (np.sign(W), f" * sign({name}), as of an absolute value,")):
        c = projection(claimed - reference, direction)
        yield Suspicion(f"{c:.6g}{of} is added", reference + c * direction, fitted=1)
    yield from two_factors(case, layer)


def two_factors(case: Evidence, layer: int) -> Iterator[Suspicion]:
    """The data term has one factor and the penalty another, both with a likely cause."""
    name, penalty = f"W{layer}", case.penalty(layer)
    claimed, data = case.claimed[name], case.reference[name] - penalty
    both = np.stack([data.ravel(), penalty.ravel()], axis=1)  # (entries, 2)
    (of_data, of_penalty), *_ = np.linalg.lstsq(both, claimed.ravel(), rcond=1e-9)
    for a, cause in factors(case):
        for b, cause_of_penalty in factors(case):
            # At lambda 0 any factor of the penalty would do.
            if np.isclose(a, of_data, rtol=1e-3, atol=1e-6) and (not penalty.any() or np.isclose(b, of_penalty, 1e-3, 1e-6)):
                words = f"its data term (all but the penalty) is multiplied by {cause}, and its penalty by {cause_of_penalty}"
                yield Suspicion(words, a * data + b * penalty, amplifies=abs(a))
