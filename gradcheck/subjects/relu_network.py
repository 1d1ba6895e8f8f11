"""A pair whose cost is that of a ReLU network: with its layers known, every entry is looked at, however many there are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import EPS, SIGMAS
from gradcheck.derivations.relu_forward import LOSSES, relu_chain
from gradcheck.derivations.truth import Truth
from gradcheck.diagnosis.pair_patterns import diagnose_pair
from gradcheck.errors import UserError, one_line
from gradcheck.faults import kind_of, listed, misshapen
from gradcheck.per_layer import check_shapes, lambda_per_layer
from gradcheck.subject import ENTRYWISE, Case, CostAndGradients, no_progress
from gradcheck.subjects.black_box import STREAM
from gradcheck.subjects.first_calls import first_answers
from gradcheck.subjects.network import NetworkSubject
from gradcheck.subjects.pair import Calls
from gradcheck.subjects.pair_oracles import PairOracles
from gradcheck.subjects.pair_rounding import rounding_of_pair
from gradcheck.torch_if_there import torch_is_installed

NO_AUTOGRAD = (
    "NO AUTOGRAD: PyTorch is not installed; the complex step through the layers stands in for it, and the diagnosis knows "
    "nothing of what flows through them"
)

# Entries of each tensor at which the layers are compared with the pair's own cost.
SAMPLE = 3


@dataclass(frozen=True)
class Layers:
    """The structure of a pair's cost: W1, b1, [gamma1, beta1], W2, ... with W (out, in), and a ReLU behind each but the last.

    Biases, gamma and beta may be columns, (m, 1).

    Args:
        X: the inputs as rows, (n, d).
        y: the class of each row, integers (n,).
        loss: "softmax" (with cross-entropy) or "sigmoid" (with multiple binary cross-entropy), a mean over the rows.
        lam: lambda of the penalty lambda sum W**2, one number or one a layer.
        eps: batch norm, where there is a gamma, divides by sqrt(var + eps).

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X, y = rng.standard_normal((8, 4)), rng.integers(0, 3, 8)
        >>> parameters = {"W1": rng.standard_normal((3, 4)), "b1": rng.standard_normal(3)}
        >>> def probabilities(p):
        ...     exp = np.exp(X @ p["W1"].T + p["b1"])
        ...     return exp / exp.sum(axis=1, keepdims=True)
        >>> def cost(p):
        ...     return -np.log(probabilities(p)[np.arange(8), y]).mean() + 0.1 * (p["W1"] ** 2).sum()
        >>> def gradients(p):
        ...     dS = (probabilities(p) - np.eye(3)[y]) / 8
        ...     return {"W1": dS.T @ X + 0.1 * p["W1"], "b1": dS.sum(axis=0)}
        >>> result = check(parameters, cost, gradients, layers=Layers(X, y, lam=0.1))
        >>> result.tensors[0]["diagnosis"].split(" (")[0]
        "W1: it has lambda*W1 where the cost's derivative is 2*lambda*W1"
    """

    X: Any
    y: Any
    loss: str = "softmax"
    lam: Any = 0.0
    eps: float = 1e-5


class LayeredSubject(NetworkSubject):
    """The network that `layers` describe, with the pair's own gradient as the claimed one.

    Where PyTorch is not installed there is no reference: the complex step is the exact oracle, rounding is measured on the
    claimed gradient itself, and a diagnosis knows nothing of what flows through the network.
    """

    def __init__(self, name: str, calls: Calls, seed: int) -> None:
        layers = calls.pair.layers
        if not isinstance(layers, Layers):
            raise UserError(f"layers is {kind_of(layers)}; it has to be a Layers(X, y, ...)")
        if calls.pair.reference is not None:
            raise UserError("give `layers` or a `reference`, not both: the layers bring a PyTorch network along")
        flat = {k: a if k.startswith("W") else a.reshape(-1) for k, a in calls.parameters.items()}
        shapes = shapes_of_network(name, flat)
        X, y = checked_data(layers, shapes, calls.dtype)
        lam = checked_lambda(name, layers.lam, depth=sum(key.startswith("W") for key in shapes))
        parameters = {key: flat[key] for key in shapes}
        self.has_reference = torch_is_installed()
        reference: Any = None
        if self.has_reference:
            from gradcheck.subjects.torch_relu_network import TorchReluNetwork

            reference = TorchReluNetwork(parameters, layers.loss, layers.eps)
        chain = relu_chain(parameters, X, y, layers.loss, layers.eps)
        super().__init__(name, PairAsTwin(calls, flat), reference, chain, y, [lam])
        self.calls = calls
        self.rng = np.random.default_rng([seed, STREAM])
        self.derive = PairOracles(calls, self.rng, notes=[])
        if not self.has_reference:
            self.oracles = ENTRYWISE[1:]
            self.notes.append(NO_AUTOGRAD)
        self.mismatch = self.layers_mismatch(lam)

    def evaluate(self) -> tuple[list[Case], list[str]]:
        first = first_answers(self.calls)
        self.notes += first.notes
        answer = self.claimed.cost_and_gradients(self.X, self.y, self.lams[0])
        broken = list(misshapen(answer.gradients, self.parameters))
        return self.cases([answer], broken), list(first.faults)

    def layers_mismatch(self, lam: tuple) -> str | None:
        """A sentence where the cost is not that of its layers, by plain differences at a few entries; None where it is."""
        sentences, lambdas = [], {}
        for tensor, array in self.parameters.items():
            sample = self.rng.choice(array.size, min(SAMPLE, array.size), replace=False)
            directions = [self.derive.unit(tensor, entry) for entry in sample]
            plain = self.derive.central_differences(tensor, directions, no_progress)
            exact = self.estimate("complex-step", tensor, sample, no_progress).derivative[0]
            apart, allowed = plain.derivative[0] - exact, 10 * plain.uncertainty[0] + 1e-8 * np.abs(exact)
            if not (np.abs(apart) > allowed).any():
                continue
            worst = np.argmax(np.abs(apart) > allowed)
            index = ", ".join(map(str, np.unravel_index(sample[worst], self.calls.parameters[tensor].shape)))
            sentences.append(
                f"cost is not that of its layers: by {tensor}[{index}] it changes by {plain.derivative[0, worst]:.6g}, "
                f"the network by {exact[worst]:.6g}"
            )
            lambdas[tensor] = lambda_that_explains(apart, array.ravel()[sample], allowed) if tensor[0] == "W" else None
        if None in lambdas.values():
            return f"{sentences[0]}; layers are left out of this check"
        old = {f"W{layer}": lam_l for layer, lam_l in enumerate(lam, start=1)}
        parts = [f"{old[tensor] + more:.4g} for {tensor}" for tensor, more in lambdas.items() if more is not None]
        return f"{sentences[0]}, as if lambda, lam, were {listed(parts)}; layers are left out of this check" if parts else None

    def cases(self, answers: list[CostAndGradients], faults: list[str]) -> list[Case]:
        if self.has_reference:
            return super().cases(answers, faults)
        # The chain is the other forward pass then.
        cost = self.chain.loss_of_each.sum() + self.penalties[0]
        rounding = rounding_of_pair(self.calls, faults, self.notes, self.scale)
        found = {name: rounding[name].reshape(array.shape) for name, array in self.parameters.items()}
        found["cost"] = SIGMAS * (self.derive.cost.noise + EPS * np.maximum(np.abs(cost), np.abs(self.chain.logits).max()))
        gradients = map(self.claimed_gradients, answers)
        return [Case(each, None, {"cost": self.derive.cost.base}, {"cost": cost}, found) for each in gradients]

    def diagnose(self, cases: list[Case], truth: dict[str, Truth], failing: list[str]) -> dict[str, str | None]:
        if self.has_reference:
            return super().diagnose(cases, truth, failing)
        return diagnose_pair(cases[0], truth, self.parameters, failing)


class PairAsTwin:
    """The pair's gradient behind the protocol of a twin; `parameters` are its parameters as the network has them."""

    def __init__(self, calls: Calls, parameters: dict[str, Array]) -> None:
        self.calls, self.parameters, self.dtype = calls, parameters, calls.dtype

    def state(self) -> dict[str, Array]:
        return self.parameters

    def load_state(self, state: dict[str, Array]) -> None:
        for name, array in state.items():
            self.parameters[name][...] = array

    def cost_and_gradients(self, X: Array, y: Array, lam: Any) -> CostAndGradients:
        """Those of the first calls, at the pair's own data, which X and y are."""
        first, shapes = first_answers(self.calls), {name: array.shape for name, array in self.calls.parameters.items()}
        gradients = {
            name: gradient.reshape(self.parameters[name].shape) if np.shape(gradient) == shapes.get(name) else gradient
            for name, gradient in first.gradients.items()
        }
        return CostAndGradients(None, None, first.cost, gradients)


def lambda_that_explains(apart: Array, weights: Array, allowed: Array) -> float | None:
    """The lambda whose penalty has the derivatives `apart` by several `weights`, up to what is `allowed`; None if none has."""
    if len(weights) < 2 or not weights.any():
        return None
    lam = float(apart @ weights / (2 * weights @ weights))
    return lam if (np.abs(apart - 2 * lam * weights) <= allowed).all() else None


def shapes_of_network(name: str, parameters: dict[str, Array]) -> dict[str, tuple[int, ...]]:
    """Name and shape of each parameter, in the order of the forward pass, of the network that has these weights.

    Raises UserError where the weights are no network's, or where another parameter is missing, too many or misshapen.
    """
    depth = sum(key.startswith("W") for key in parameters)
    weights = [parameters.get(f"W{layer}") for layer in range(1, depth + 1)]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, W in enumerate(weights, start=1):
        if W is None or W.ndim != 2:
            break
        shapes[f"W{layer}"] = W.shape[0], W.shape[1] if layer == 1 else shapes[f"b{layer - 1}"][0]
        vectors = ("b", "gamma", "beta") if "gamma1" in parameters and layer < depth else ("b",)
        shapes |= {f"{kind}{layer}": (W.shape[0],) for kind in vectors}
    else:
        if depth:
            check_shapes(name, parameters, shapes)
            return shapes
    raise UserError("layers: the parameters have to be W1 (out, in), b1, [gamma1, beta1], W2, ...")


def checked_data(layers: Layers, shapes: dict[str, tuple[int, ...]], dtype: str) -> tuple[Array, Array]:
    """X (n, d) and y (n,) of the layers. Raises UserError where they do not fit the network or its dtype."""
    inputs, outputs = shapes["W1"][1], list(shapes.values())[-1][0]
    if layers.loss not in tuple(LOSSES):
        raise UserError(f"loss {layers.loss!r} is unknown; choose one of {', '.join(LOSSES)}")
    if not isinstance(layers.eps, int | float) or not layers.eps > 0:
        raise UserError(f"layers: eps is {layers.eps!r}; batch norm needs eps over 0")
    try:
        X, y = np.ascontiguousarray(layers.X, np.float64), np.ascontiguousarray(layers.y)
    except (TypeError, ValueError) as error:
        raise UserError(f"layers: X and y have to be arrays of numbers, (n, {inputs}) and (n,): {one_line(error)}") from error
    if X.ndim != 2 or X.shape[1] != inputs or y.shape != (len(X),) or not y.size:
        raise UserError(f"layers: X has shape {X.shape} and y {y.shape}; they have to be (n, {inputs}) and (n,)")
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= outputs:
        raise UserError(f"layers: y has to hold classes, integers from 0 to {outputs - 1}")
    if "gamma1" in shapes and len(X) < 2:
        raise UserError("layers: the network has batch norm, which needs at least 2 rows of X")
    if dtype == "float32" and (X.astype(np.float32) != X).any():
        raise UserError("layers: the parameters are float32 and X is not; give both in one of them")
    return X, y


def checked_lambda(name: str, lam: Any, depth: int) -> tuple:
    try:
        return lambda_per_layer(lam, depth)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"layers: lam is {lam!r}; it has to be a number, or one a layer") from error
