"""The network in NumPy: the layers one after another, forward, then backward in the opposite order.

Read beside `models/mlp.py`, its twin in PyTorch: both classes answer to the same names.
"""

import numpy as np

from manual import layers, losses
from networks import CostAndGradients, Evaluation, lambda_per_layer


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
    """A network of `networks.py` with its state, a dict of arrays; `dtype` is that of every parameter and statistic."""

    def __init__(self, network, state, dtype=np.float64):
        self.network = network
        self.dtype = np.dtype(dtype)
        self.load_state(state)

    def load_state(self, state):
        """Copies parameters and statistics, by name. Raises UserError where a name or shape is not the network's."""
        self.network.check_state(state)
        self.parameters = {name: np.array(state[name], self.dtype) for name in self.network.parameter_shapes()}
        self.statistics = {name: np.array(state[name], self.dtype) for name in self.network.statistic_shapes()}

    def state(self):
        """A copy of parameters and statistics, by name."""
        return {name: array.copy() for name, array in (self.parameters | self.statistics).items()}

    def forward(self, X, training=False):
        """Logits (n, K). In training mode batch norm uses the batch X (n, d) and moves its running statistics."""
        if not training:
            return self._evaluate_logits(X)
        logits, _, batch_statistics = forward(self.network, self.parameters, X)
        n = X.shape[-2]
        for layer, (mean, var) in batch_statistics.items():
            unbiased = var * (n / (n - 1))  # (m,): what nn.BatchNorm1d keeps, though it normalises by the biased one
            for statistic, batch in ((f"running_mean{layer}", mean), (f"running_var{layer}", unbiased)):
                running = self.statistics[statistic]
                running[...] = layers.update_running(running, batch, self.network.momentum)
        return logits

    def cost_and_gradients(self, X, y, lam):
        """Training mode at X (n, d), y (n,); changes no parameter and no statistic."""
        logits, caches, _ = forward(self.network, self.parameters, X)
        loss, loss_cache = loss_forward(self.network.loss, logits, y)
        cost = loss + penalty(self.network, self.parameters, lam)
        gradients = backward(self.network, self.parameters, caches, loss_cache, lam)
        return CostAndGradients(logits, float(loss), float(cost), gradients)

    def evaluate(self, X, y, lam):
        """Loss, cost and accuracy at X (n, d), y (n,), in evaluation mode."""
        logits = self._evaluate_logits(X)
        loss, _ = loss_forward(self.network.loss, logits, y)
        cost = loss + penalty(self.network, self.parameters, lam)
        return Evaluation(float(loss), float(cost), float((logits.argmax(axis=-1) == y).mean()))

    def _evaluate_logits(self, X):
        p, statistics, A = self.parameters, self.statistics, X
        for layer in range(1, self.network.depth + 1):
            S, _ = layers.linear_forward(A, p[f"W{layer}"], p[f"b{layer}"])  # (n, m)
            if layer == self.network.depth:
                return S  # (n, K)
            if self.network.batch_norm:
                S = layers.batch_norm_evaluate(
                    S,
                    p[f"gamma{layer}"],
                    p[f"beta{layer}"],
                    statistics[f"running_mean{layer}"],
                    statistics[f"running_var{layer}"],
                    self.network.eps,
                )  # (n, m)
            A, _ = layers.relu_forward(S)  # (n, m)


def activate(network, S, gamma=None, beta=None):
    """A hidden layer behind its linear map, in training mode: batch norm if the network has it, then ReLU.

    S is (..., n, m). Returns A (..., n, m), the caches of both, and the batch's (mean, var) or None.
    """
    if not network.batch_norm:
        A, active = layers.relu_forward(S)  # (n, m)
        return A, (None, active), None
    S_tilde, norm_cache, batch_statistics = layers.batch_norm_forward(S, gamma, beta, network.eps)  # (n, m)
    A, active = layers.relu_forward(S_tilde)  # (n, m)
    return A, (norm_cache, active), batch_statistics


def forward(network, parameters, X):
    """Training mode. Returns logits (..., n, K), the cache of each step by name, and the batch statistics by layer."""
    p, A, caches, batch_statistics = parameters, X, {}, {}
    for layer in range(1, network.depth):
        S, caches[f"linear{layer}"] = layers.linear_forward(A, p[f"W{layer}"], p[f"b{layer}"])  # (n, m)
        A, caches[f"activate{layer}"], statistics = activate(network, S, p.get(f"gamma{layer}"), p.get(f"beta{layer}"))
        if network.batch_norm:
            batch_statistics[layer] = statistics
    last = network.depth
    logits, caches[f"linear{last}"] = layers.linear_forward(A, p[f"W{last}"], p[f"b{last}"])  # (n, K)
    return logits, caches, batch_statistics


def penalty(network, parameters, lam):
    """sum_l lambda_l sum W_l^2; biases, gamma and beta are never penalised."""
    weights = [parameters[f"W{layer}"] for layer in range(1, network.depth + 1)]
    return losses.l2_penalty_forward(weights, lambda_per_layer(lam, network.depth))


def cost(network, parameters, X, y, lam):
    """J = mean loss + penalty, in training mode, for any parameters: complex ones, or with leading axes."""
    logits, _, _ = forward(network, parameters, X)
    loss, _ = loss_forward(network.loss, logits, y)
    return loss + penalty(network, parameters, lam)


def backward(network, parameters, caches, loss_cache, lam):
    """dJ/d(parameter) by name, in the order of the forward pass, from what the forward pass left in its caches."""
    lam = lambda_per_layer(lam, network.depth)
    gradients = {}
    dS = loss_backward(network.loss, loss_cache)  # (n, K)
    for layer in range(network.depth, 0, -1):
        below = layer - 1
        dA, dW, gradients[f"b{layer}"] = layers.linear_backward(dS, caches[f"linear{layer}"])  # (n, d), (m, d), (m,)
        gradients[f"W{layer}"] = dW + losses.l2_penalty_backward(parameters[f"W{layer}"], lam[below])  # (m, d)
        if layer > 1:
            norm_cache, active = caches[f"activate{below}"]
            dS = layers.relu_backward(dA, active)  # (n, d)
            if network.batch_norm:
                dS, dgamma, dbeta = layers.batch_norm_backward(dS, norm_cache)  # (n, d), (d,), (d,)
                gradients[f"gamma{below}"], gradients[f"beta{below}"] = dgamma, dbeta
    return {name: gradients[name] for name in parameters}
