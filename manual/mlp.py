"""The network in NumPy, with the backward pass of `manual/passes.py`.

Read beside `models/mlp.py`, its twin in PyTorch: both classes answer to the same names.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike

from gradcheck.arrays import Array
from gradcheck.per_layer import Lambda
from gradcheck.subject import CostAndGradients
from manual import passes
from manual.augment import flip
from manual.device import array_module, take_rows, to_numpy
from manual.sgd import sgd_step
from manual.workspace import Workspace
from networks import Evaluation, Network


class MLP:
    """A network of `networks.py` with its state, arrays by name; `dtype` is that of every parameter and statistic.

    On "cpu" the arrays are NumPy's, on "cuda" CuPy's; X and y have to be there too: `array` brings them.
    """

    def __init__(
        self, network: Network, state: Mapping[str, Array], dtype: DTypeLike = np.float64, device: str = "cpu"
    ) -> None:
        self.network, self.dtype, self.xp = network, np.dtype(dtype), array_module(device)
        self.workspace = Workspace(network, self.xp, self.dtype)
        self.parameters = {name: self.xp.empty(shape, self.dtype) for name, shape in network.parameter_shapes().items()}
        self.statistics = {name: self.xp.empty(shape, self.dtype) for name, shape in network.statistic_shapes().items()}
        self.load_state(state)

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Copies parameters and statistics, by name. Raises UserError where a name or shape is not the network's."""
        self.network.check_state(state)
        for name, array in (self.parameters | self.statistics).items():
            array[...] = self.xp.asarray(state[name])

    def state(self) -> dict[str, Array]:
        """A copy of parameters and statistics as NumPy arrays, by name."""
        return {name: np.array(to_numpy(array)) for name, array in (self.parameters | self.statistics).items()}

    def array(self, array: Array) -> Array:
        """A NumPy array where the network is, without a copy if it is there: floats in the network's dtype."""
        return self.xp.asarray(array, self.dtype if array.dtype.kind == "f" else None)

    def to_numpy(self, array: Array) -> Array:
        """The same numbers as a NumPy array."""
        return to_numpy(array)

    def forward(self, X: Array, training: bool = False) -> Array:
        """Logits (n, K). In training mode batch norm uses the batch X (n, d) and moves its running statistics."""
        if not training:
            return self.activations(X)[-1]
        logits, _, batch_statistics = passes.forward(self.network, self.parameters, X)
        passes.move_statistics(self.network, self.statistics, batch_statistics, len(X))
        return logits

    def cost_and_gradients(self, X: Array, y: Array, lam: Lambda) -> CostAndGradients:
        """Training mode at X (n, d), y (n,); changes no parameter and no statistic. Returns NumPy arrays and numbers."""
        lam = self.network.lambdas(lam)
        logits, caches, _ = passes.forward(self.network, self.parameters, X)
        loss, loss_cache = passes.loss_forward(self.network.loss, logits, y)
        cost = loss + passes.penalty(self.network, self.parameters, lam)
        gradients = passes.backward(self.network, self.parameters, caches, loss_cache, lam)
        gradients = {name: to_numpy(gradient) for name, gradient in gradients.items()}
        return CostAndGradients(to_numpy(logits), float(loss), float(cost), gradients)

    def batch(self, X: Array, y: Array, rows: Array, flipped: Array | None = None) -> tuple[Array, Array]:
        """Those `rows` (n,) of X and y, with the images where `flipped` (n,) is true mirrored. The next call overwrites X."""
        out, mirrored = self.workspace.for_batch(len(rows))
        rows = self.array(rows)
        batch = take_rows(X, rows, out)  # (n, d)
        if flipped is not None:
            batch = flip(batch, self.array(flipped), mirrored)
        return batch, y[rows]

    def train_step(self, X: Array, y: Array, lam: Sequence[float], lr: float) -> tuple[float, float]:
        """One update at X (n, d), y (n,), in training mode and in place, with one lambda a layer.

        Returns loss and cost before it.
        """
        out = self.workspace.for_update(len(y))
        loss, cost = update(self.network, self.parameters, self.statistics, X, y, lam, lr, out)
        return float(loss), float(cost)

    def evaluate(self, X: Array, y: Array, lam: Sequence[float]) -> Evaluation[float]:
        """Loss, cost and accuracy at X (n, d), y (n,), in evaluation mode."""
        loss, cost, accuracy = evaluate(self.network, self.parameters, self.statistics, X, y, lam)
        return Evaluation(float(loss), float(cost), float(accuracy))

    def activations(self, X: Array) -> list[Array]:
        """What each hidden layer hands on, A (n, m), and the logits (n, K), in evaluation mode."""
        return passes.evaluate_layers(self.network, self.parameters, self.statistics, X)


def update(
    network: Network,
    parameters: dict[str, Array],
    statistics: dict[str, Array],
    X: Array,
    y: Array,
    lam: Sequence[float] | Array,
    lr: float | Array,
    out: Mapping[str, Array],
) -> tuple[Array, Array]:
    """One update in place, also of stacked networks, in training mode. Returns loss and cost before it. See `passes.py`."""
    logits, caches, batch_statistics = passes.forward(network, parameters, X, out)
    passes.move_statistics(network, statistics, batch_statistics, len(y))
    loss, loss_cache = passes.loss_forward(network.loss, logits, y)
    cost = loss + passes.penalty(network, parameters, lam, out)
    sgd_step(parameters, passes.backward(network, parameters, caches, loss_cache, lam, out), lr)
    return loss, cost


def evaluate(
    network: Network,
    parameters: dict[str, Array],
    statistics: dict[str, Array],
    X: Array,
    y: Array,
    lam: Sequence[float] | Array,
) -> tuple[Array, Array, Array]:
    """Loss, cost and accuracy, also of stacked networks, in evaluation mode."""
    logits = passes.evaluate_layers(network, parameters, statistics, X)[-1]  # (n, K)
    loss, _ = passes.loss_forward(network.loss, logits, y)
    cost = loss + passes.penalty(network, parameters, lam)
    return loss, cost, (logits.argmax(axis=-1) == y).mean(axis=-1)
