"""What a diagnosis of a network goes by: the wrong gradient beside the right one, and what flows through the layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.diagnosis.explanation import Suspicion, explains, unexplained
from gradcheck.diagnosis.form_patterns import dropout_scales
from gradcheck.signals import Signals

FOLLOWS = "it follows from layer "


class Upstream(NamedTuple):
    """What a suspicion says reaches a layer: behind its ReLU, dS_tilde (n, m), and behind its batch norm, dS (n, m).

    `fitted` is as in a Suspicion.
    """

    sentence: str
    dS_tilde: Array
    dS: Array
    consequence: str = ""
    fitted: int = 0

    def behind(self, layer: int) -> "Upstream":
        """The same, with the words for the layers further down that suffer from it."""
        follows = self.sentence.startswith(FOLLOWS)
        return self._replace(consequence=self.sentence if follows else f"{FOLLOWS}{layer}, where {self.sentence}")


@dataclass(frozen=True)
class Evidence:
    """A wrong gradient and the truth, for one lambda.

    `claimed`, `reference`, `parameters` are float64 arrays by tensor, `rounding` what rounding may change; `lam` holds one
    number a layer. `signals` are what flows through the correct network.
    """

    claimed: Arrays
    reference: Arrays
    rounding: Mapping[str, float]
    parameters: Arrays
    lam: tuple[float, ...]
    signals: Signals

    @property
    def n(self) -> int:
        """The number of images."""
        return len(self.signals.A[0])

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self.lam)

    def penalty(self, layer: int) -> Array:
        """What the penalty adds to dJ/dW of a layer, (m, d)."""
        return 2 * self.lam[layer - 1] * self.parameters[f"W{layer}"]

    def data_term(self, layer: int) -> tuple[Array, Array]:
        """The claimed and the right dJ/dW of a layer without its penalty, (m, d)."""
        name, penalty = f"W{layer}", self.penalty(layer)
        return self.claimed[name] - penalty, self.reference[name] - penalty

    def is_right(self, name: str) -> bool:
        """Whether the claimed gradient of `name` is that of the reference, up to rounding."""
        return bool(np.abs(self.claimed[name] - self.reference[name]).max() <= self.rounding[name])

    def unexplained(self, prediction: Array, name: str) -> float:
        """The share of claimed - reference that `prediction` of the gradient of `name` leaves."""
        return unexplained(prediction, self.claimed[name], self.reference[name])

    def explains(self, suspicion: Suspicion, name: str) -> bool:
        """Whether the suspicion predicts the claimed gradient of `name`."""
        return explains(suspicion, self.claimed[name], self.reference[name], self.rounding[name])

    def has_batch_norm(self, layer: int) -> bool:
        """Whether there is a batch norm between the linear map and the ReLU of a layer."""
        return layer in self.signals.S_tilde

    def normalised(self, layer: int) -> tuple[Array, Array]:
        """What batch norm makes of S: S_hat (n, m), and gamma over the standard deviation (m,)."""
        S = self.signals.S[layer]
        inv_std = 1 / np.sqrt(S.var(axis=0) + self.signals.eps)  # (m,)
        return (S - S.mean(axis=0)) * inv_std, inv_std * self.parameters[f"gamma{layer}"]

    def predictions(self, layer: int, upstream: Upstream) -> dict[str, Array]:
        """The gradients of a layer's tensors by name, if `upstream` reaches it."""
        dS_tilde, dS = upstream.dS_tilde, upstream.dS
        predicted = {f"W{layer}": dS.T @ self.signals.A[layer - 1] + self.penalty(layer), f"b{layer}": dS.sum(axis=0)}
        if self.has_batch_norm(layer):
            S_hat, _ = self.normalised(layer)
            predicted |= {f"gamma{layer}": (dS_tilde * S_hat).sum(axis=0), f"beta{layer}": dS_tilde.sum(axis=0)}
        return predicted


def factors(case: Evidence) -> Iterator[tuple[float, str]]:
    """Factors with a likely cause, as (number, words)."""
    n, classes = case.n, case.signals.dS[case.depth].shape[1]
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
    yield from dropout_scales()
