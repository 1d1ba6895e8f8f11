"""The network in NumPy: the layers one after another, forward, then backward in the opposite order.

Read beside `models/mlp.py`, its twin in PyTorch: both classes answer to the same names.
"""

from types import MappingProxyType

import numpy as np

from gradcheck.per_layer import lambda_per_layer
from gradcheck.subject import CostAndGradients
from manual import layers, losses
from manual.augment import flip
from manual.device import array_module, take_rows, to_numpy
from manual.sgd import sgd
from networks import Evaluation

# No array is given to write into, whatever its name.
NOTHING = MappingProxyType({})


def loss_forward(loss, logits, y):
    """The named loss and its cache."""
    if loss == "softmax":
        return losses.softmax_cross_entropy_forward(logits, y)
    return losses.binary_cross_entropy_forward(logits, y)


def loss_backward(loss, cache):
    """dJ/dlogits (n, K) of the named loss."""
    if loss == "softmax":
        return losses.softmax_cross_entropy_backward(cache)
    return losses.binary_cross_entropy_backward(cache)


class MLP:
    """A network of `networks.py` with its state, a dict of arrays; `dtype` is that of every parameter and statistic.

    On "cpu" the arrays are NumPy's, on "cuda" CuPy's; what goes in has to live there too: `array` brings it.
    """

    def __init__(self, network, state, dtype=np.float64, device="cpu"):
        self.network = network
        self.dtype = np.dtype(dtype)
        self.xp = array_module(device)
        self.stacked = ()
        self.kept = {}
        self.load_state(state)

    def load_state(self, state):
        """Copies parameters and statistics, by name. Raises UserError where a name or shape is not the network's."""
        self.network.check_state(state)
        self.parameters = {name: self.xp.array(state[name], self.dtype) for name in self.network.parameter_shapes()}
        self.statistics = {name: self.xp.array(state[name], self.dtype) for name in self.network.statistic_shapes()}

    def state(self):
        """A copy of parameters and statistics as NumPy arrays, by name."""
        return {name: np.array(to_numpy(array)) for name, array in (self.parameters | self.statistics).items()}

    def array(self, array):
        """A NumPy array where the network is, without a copy if it is there: floats in the network's dtype."""
        return self.xp.asarray(array, self.dtype if array.dtype.kind == "f" else None)

    def to_numpy(self, array):
        """The same numbers as a NumPy array."""
        return to_numpy(array)

    def forward(self, X, training=False):
        """Logits (n, K). In training mode batch norm uses the batch X (n, d) and moves its running statistics."""
        if not training:
            return self.activations(X)[-1]
        logits, _, batch_statistics = forward(self.network, self.parameters, X)
        self._move_statistics(batch_statistics, X.shape[-2])
        return logits

    def cost_and_gradients(self, X, y, lam):
        """Training mode at X (n, d), y (n,); changes no parameter and no statistic."""
        logits, caches, _ = forward(self.network, self.parameters, X)
        loss, loss_cache = loss_forward(self.network.loss, logits, y)
        cost = loss + penalty(self.network, self.parameters, lam)
        gradients = backward(self.network, self.parameters, caches, loss_cache, lam)
        gradients = {name: to_numpy(gradient) for name, gradient in gradients.items()}
        return CostAndGradients(to_numpy(logits), float(loss), float(cost), gradients)

    def batch(self, X, y, rows, flipped=None):
        """Those `rows` (n,) of X and y, with the images where `flipped` (n,) is true mirrored. The next call overwrites X."""
        rows = self.array(rows)
        out = self._kept_arrays(len(rows))
        batch = take_rows(X, rows, out["X"])  # (n, d)
        if flipped is not None:
            if "mirrored" not in out:
                out["mirrored"] = self.xp.empty(batch.shape, batch.dtype)
            batch = flip(batch, self.array(flipped), out["mirrored"])
        return batch, y[rows]

    def train_step(self, X, y, lam, lr):
        """One update at X (n, d), y (n,), in training mode and in place. Returns loss and cost before it."""
        loss, cost = self._update(X, y, lam, lr)
        return float(loss), float(cost)

    def evaluate(self, X, y, lam):
        """Loss, cost and accuracy at X (n, d), y (n,), in evaluation mode."""
        return Evaluation(*map(float, self._evaluation(X, y, lam)))

    def _update(self, X, y, lam, lr):
        out = self._kept_arrays(len(y))
        logits, caches, batch_statistics = forward(self.network, self.parameters, X, out)
        self._move_statistics(batch_statistics, len(y))
        loss, loss_cache = loss_forward(self.network.loss, logits, y)
        cost = loss + penalty(self.network, self.parameters, lam, out)
        sgd(self.parameters, backward(self.network, self.parameters, caches, loss_cache, lam, out), lr)
        return loss, cost

    def _evaluation(self, X, y, lam):
        logits = self.forward(X)
        loss, _ = loss_forward(self.network.loss, logits, y)
        cost = loss + penalty(self.network, self.parameters, lam)
        return loss, cost, (logits.argmax(axis=-1) == y).mean(axis=-1)

    def activations(self, X):
        """What each hidden layer hands on, A (n, m), and the logits (n, K), in evaluation mode."""
        p, statistics, found = self.parameters, self.statistics, [X]
        for layer in range(1, self.network.depth + 1):
            S, _ = layers.linear_forward(found[-1], p[f"W{layer}"], p[f"b{layer}"])  # (n, m)
            if layer == self.network.depth:
                return [*found[1:], S]
            if self.network.batch_norm:
                S = layers.batch_norm_evaluate(
                    S,
                    p[f"gamma{layer}"],
                    p[f"beta{layer}"],
                    statistics[f"running_mean{layer}"],
                    statistics[f"running_var{layer}"],
                    self.network.eps,
                )  # (n, m)
            found.append(layers.relu_forward(S, out=S)[0])  # (n, m)

    def _move_statistics(self, batch_statistics, n):
        for layer, (mean, var) in batch_statistics.items():
            unbiased = var * (n / (n - 1))  # (m,): what nn.BatchNorm1d keeps, though it normalises by the biased one
            for statistic, batch in ((f"running_mean{layer}", mean), (f"running_var{layer}", unbiased)):
                running = self.statistics[statistic]
                running[...] = layers.update_running(running, batch, self.network.momentum)

    def _kept_arrays(self, n):
        """The arrays that updates with n images write into, by the names that `forward` and `backward` give them."""
        if n not in self.kept:
            empty = lambda shape, dtype=self.dtype: self.xp.empty(shape, dtype)  # noqa: E731
            self.kept = {n: kept_arrays(self.network, n, empty, self.stacked)}
        return self.kept[n]


def kept_arrays(network, n, empty, stacked=()):
    """Arrays for all that an update with n images computes of a batch's or a weight's size; `empty(shape, dtype)` makes one.

    Those of networks stacked (C,) have a leading axis, all but X; and lie in memory unit by unit, as one product gives them.

    X, the batch; S of each layer; A, the ReLU's `active` and dA of each hidden layer, with dS behind a batch norm; and the
    gradient of each weight under the weight's own name, with `scratch`, an array like it.
    """

    def of_units(units, *dtype):
        return layers.transpose(empty((*stacked, units, n), *dtype)) if stacked else empty((n, units), *dtype)  # (n, m)

    kept = {"X": empty((n, network.inputs))}
    for layer in range(1, network.depth + 1):
        shape, units = (*stacked, *network.parameter_shapes()[f"W{layer}"]), network.sizes[layer]
        kept |= {f"W{layer}": empty(shape), f"scratch{layer}": empty(shape), f"S{layer}": of_units(units)}
        if layer < network.depth:
            names = ("A", "dA", "dS") if network.batch_norm else ("A", "dA")
            kept |= {f"{name}{layer}": of_units(units) for name in names}
            kept[f"active{layer}"] = of_units(units, bool)
    return kept


def activate(network, S, gamma=None, beta=None, out=None, S_hat=None, active=None):
    """A hidden layer behind its linear map, in training mode: batch norm if the network has it, then ReLU.

    S is (..., n, m). Returns A (..., n, m), the caches of both, and the batch's (mean, var) or None. `out`, `S_hat` and
    `active` may be arrays to write into, as for the layers.
    """
    if not network.batch_norm:
        A, active = layers.relu_forward(S, out, active)  # (n, m)
        return A, (None, active), None
    S_tilde, norm_cache, batch_statistics = layers.batch_norm_forward(S, gamma, beta, network.eps, out, S_hat)  # (n, m)
    A, active = layers.relu_forward(S_tilde, out, active)  # (n, m)
    return A, (norm_cache, active), batch_statistics


def forward(network, parameters, X, out=NOTHING):
    """Training mode. Returns logits (..., n, K), the cache of each step by name, and the batch statistics by layer.

    `out` maps names to arrays to write into, those of `kept_arrays`.
    """
    p, A, caches, batch_statistics = parameters, X, {}, {}
    for layer in range(1, network.depth):
        S, caches[f"linear{layer}"] = layers.linear_forward(A, p[f"W{layer}"], p[f"b{layer}"], out.get(f"S{layer}"))  # (n, m)
        # Nothing needs S behind its activation: S_hat takes its place.
        kept = {"out": out.get(f"A{layer}"), "S_hat": out.get(f"S{layer}"), "active": out.get(f"active{layer}")}
        A, caches[f"activate{layer}"], statistics = activate(network, S, p.get(f"gamma{layer}"), p.get(f"beta{layer}"), **kept)
        if network.batch_norm:
            batch_statistics[layer] = statistics
    last = network.depth
    logits, caches[f"linear{last}"] = layers.linear_forward(A, p[f"W{last}"], p[f"b{last}"], out.get(f"S{last}"))  # (n, K)
    return logits, caches, batch_statistics


def penalty(network, parameters, lam, out=NOTHING):
    """sum_l lambda_l sum W_l^2; biases, gamma and beta are never penalised."""
    all_layers = range(1, network.depth + 1)
    weights, scratch = [parameters[f"W{layer}"] for layer in all_layers], [out.get(f"scratch{layer}") for layer in all_layers]
    return losses.l2_penalty_forward(weights, lambda_per_layer(lam, network.depth), scratch)


def cost(network, parameters, X, y, lam):
    """J = mean loss + penalty, in training mode, for any parameters: complex ones, or with leading axes."""
    logits, _, _ = forward(network, parameters, X)
    loss, _ = loss_forward(network.loss, logits, y)
    return loss + penalty(network, parameters, lam)


def backward(network, parameters, caches, loss_cache, lam, out=NOTHING):
    """dJ/d(parameter) by name, in the order of the forward pass, from what the forward pass left in its caches."""
    lam = lambda_per_layer(lam, network.depth)
    gradients = {}
    dS = loss_backward(network.loss, loss_cache)  # (n, K)
    for layer in range(network.depth, 0, -1):
        below = layer - 1
        cache, W = caches[f"linear{layer}"], parameters[f"W{layer}"]
        dW, gradients[f"b{layer}"] = layers.linear_backward(dS, cache, out.get(f"W{layer}"))  # (m, d), (m,)
        dpenalty = losses.l2_penalty_backward(W, lam[below], out.get(f"scratch{layer}"))  # (m, d)
        gradients[f"W{layer}"] = np.add(dW, dpenalty, out=out.get(f"W{layer}"))  # (m, d)
        if layer > 1:
            norm_cache, active = caches[f"activate{below}"]
            dA = layers.linear_backward_input(dS, cache, out.get(f"dA{below}"))  # (n, d)
            dS = layers.relu_backward(dA, active, out.get(f"dA{below}"))  # (n, d)
            if network.batch_norm:
                dS, dgamma, dbeta = layers.batch_norm_backward(dS, norm_cache, out.get(f"dS{below}"))  # (n, d), (d,), (d,)
                gradients[f"gamma{below}"], gradients[f"beta{below}"] = dgamma, dbeta
    return {name: gradients[name] for name in parameters}
