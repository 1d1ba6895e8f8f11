"""A pair whose cost is that of a ReLU network: with its layers known, every entry is looked at, however many there are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import UserError
from gradcheck.subjects.black_box import PairSubject
from gradcheck.subjects.network import NetworkSubject
from lab import twins
from networks import CostAndGradients, Network

# Entries of each tensor at which the layers are held against the pair's own cost.
SAMPLE = 3


@dataclass(frozen=True)
class Layers:
    """The structure of a pair's cost: W1, b1, [gamma1, beta1], W2, ... with W (out, in), and a ReLU behind each but the last.

    X (n, d) holds the inputs as rows, y (n,) the class of each. `loss` is "softmax" (with cross-entropy) or "sigmoid" (with
    multiple binary cross-entropy), a mean over the rows; `lam` is lambda of the penalty lambda sum W**2, one number or one a
    layer. Batch norm, where there is a gamma, divides by sqrt(var + eps). Biases, gamma and beta may be columns, (m, 1).
    """

    X: Any
    y: Any
    loss: str = "softmax"
    lam: Any = 0.0
    eps: float = 1e-5


class LayeredSubject(NetworkSubject):
    """The network that `layers` describe, with the pair's own gradient in place of ours."""

    def __init__(self, name, calls, seed):
        layers = calls.pair.layers
        if not isinstance(layers, Layers):
            raise UserError(f"layers is a {type(layers).__name__}; it has to be a Layers(X, y, ...)")
        if calls.pair.reference is not None:
            raise UserError("give `layers` or a `reference`, not both: the layers bring a PyTorch network along")
        flat = {k: a if k.startswith("W") else a.reshape(-1) for k, a in calls.parameters.items()}
        network = network_of(name, flat, layers)
        X, y = np.ascontiguousarray(layers.X, np.float64), np.ascontiguousarray(layers.y)
        if X.ndim != 2 or X.shape[1] != network.inputs or y.shape != (len(X),) or not y.size:
            raise UserError(f"layers: X has shape {X.shape} and y {y.shape}; they have to be (n, {network.inputs}) and (n,)")
        if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= network.outputs:
            raise UserError(f"layers: y has to hold classes, whole numbers from 0 to {network.outputs - 1}")
        network.check_batch(len(X))
        if calls.dtype == "float32" and (X.astype(np.float32) != X).any():
            raise UserError("layers: the parameters are float32 and X is not; give both in one of them")
        _, reference = twins.build(network, flat | unused_statistics(network))
        super().__init__(name, Hand(calls, flat), reference, X, y, [layers.lam])
        self.calls = calls
        self.pair = PairSubject(name, calls, seed, budget=0)

    def kept(self):
        return super().kept() | self.calls.kept()

    def restore(self, differ, saved):
        super().restore(differ, saved)
        self.calls.restore(differ, saved)

    def ask(self):
        """Also holds the layers against the cost itself, by plain differences at a few entries."""
        cases, faults = super().ask()
        faults = faults + self.pair.cost.faults
        for tensor in self.parameters:
            sample = self.pair.rng.choice(
                self.parameters[tensor].size, min(SAMPLE, self.parameters[tensor].size), replace=False
            )
            directions = [self.pair.unit(tensor, entry) for entry in sample]
            plain = self.pair.central_differences(tensor, directions, lambda count: None)
            exact = self.estimate("complex-step", tensor, sample, lambda count: None).derivative
            apart = np.abs(plain.derivative - exact) > 10 * plain.uncertainty + 1e-8 * np.abs(exact)
            if apart.any():
                worst = np.flatnonzero(apart[0])[0]
                index = ", ".join(map(str, np.unravel_index(sample[worst], self.calls.parameters[tensor].shape)))
                faults.append(
                    f"cost is not that of its layers: by {tensor}[{index}] it changes by {plain.derivative[0, worst]:.6g}, "
                    f"the network by {exact[0, worst]:.6g}"
                )
        return cases, faults


class Hand:
    """The pair's gradient behind the protocol of `manual.MLP`; `parameters` are its parameters as the network has them."""

    def __init__(self, calls, parameters):
        self.calls, self.parameters, self.dtype = calls, parameters, calls.dtype

    def state(self):
        return self.parameters

    def load_state(self, state):
        for name, array in state.items():
            self.parameters[name][...] = array

    def cost_and_gradients(self, X, y, lam):
        """At the pair's own data; those that are given are the same."""
        shapes = {name: array.shape for name, array in self.calls.parameters.items()}
        gradients = {
            name: gradient.reshape(self.parameters[name].shape) if gradient.shape == shapes.get(name) else gradient
            for name, gradient in self.calls.hand().items()
        }
        return CostAndGradients(None, None, self.calls.cost(self.calls.parameters), gradients)


def network_of(name, parameters, layers):
    """The Network whose parameters these are. Raises UserError where they are none's."""
    depth = sum(key.startswith("W") for key in parameters)
    weights = [parameters.get(f"W{layer}") for layer in range(1, depth + 1)]
    if not depth or any(W is None or W.ndim != 2 for W in weights):
        raise UserError("layers: the parameters have to be W1 (out, in), b1, [gamma1, beta1], W2, ...")
    sizes = [W.shape[0] for W in weights]
    network = Network(
        name,
        hidden=tuple(sizes[:-1]),
        batch_norm="gamma1" in parameters,
        loss=layers.loss,
        inputs=weights[0].shape[1],
        outputs=sizes[-1],
        eps=layers.eps,
    )
    network.check_state(parameters | unused_statistics(network))
    try:
        network.check_lambda(layers.lam)
    except TypeError as error:
        raise UserError(f"layers: lam is {layers.lam!r}; it has to be a number, or one a layer") from error
    return network


def unused_statistics(network):
    """Running statistics for the twin, which a check in training mode never reads."""
    return {name: np.ones(shape) for name, shape in network.statistic_shapes().items()}
