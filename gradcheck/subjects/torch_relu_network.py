"""A ReLU network in PyTorch, the reference of a pair whose layers are known: autograd derives its gradient."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gradcheck.per_layer import split_name
from gradcheck.signals import Signals
from gradcheck.subject import CostAndGradients


class TorchReluNetwork(nn.Module):
    """The network with these parameters (W1, b1, [gamma1, beta1], W2, ...), in training mode; `loss` as in `Layers`."""

    def __init__(self, parameters: dict[str, np.ndarray], loss: str, eps: float) -> None:
        super().__init__()
        self.tensors = nn.ParameterDict()
        for name, array in parameters.items():  # one by one: all at once they would be sorted by name
            self.tensors[name] = nn.Parameter(torch.tensor(array))
        self.loss, self.eps = loss, eps
        self.depth = sum(name.startswith("W") for name in parameters)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of the parameters, by name."""
        return {name: tensor.numpy(force=True).copy() for name, tensor in self.tensors.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Copies the parameters, by name."""
        with torch.no_grad():
            for name, array in state.items():
                self.tensors[name].copy_(torch.as_tensor(array))

    def steps(self, X: torch.Tensor) -> dict[str, torch.Tensor]:
        """What each step of the forward pass computes, S1, [S_tilde1], A1, S2, ..., in order; last the logits (n, K)."""
        p, A, found = self.tensors, X, {}
        for layer in range(1, self.depth + 1):
            S = found[f"S{layer}"] = F.linear(A, p[f"W{layer}"], p[f"b{layer}"])  # (n, m)
            if layer < self.depth:
                if f"gamma{layer}" in p:
                    gamma, beta = p[f"gamma{layer}"], p[f"beta{layer}"]  # (m,)
                    S = F.batch_norm(S, None, None, gamma, beta, training=True, eps=self.eps)  # (n, m)
                    found[f"S_tilde{layer}"] = S
                A = found[f"A{layer}"] = F.relu(S)  # (n, m)
        return found

    def mean_loss(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean over the rows of logits (n, K), a scalar; of the sigmoid's, over the classes too."""
        if self.loss == "softmax":
            return F.cross_entropy(logits, y)
        return F.binary_cross_entropy_with_logits(logits, F.one_hot(y, logits.shape[-1]).to(logits.dtype))

    def cost_and_gradients(self, X: np.ndarray, y: np.ndarray, lam: tuple[float, ...]) -> CostAndGradients:
        """Logits, loss, cost and gradients at X (n, d), y (n,); `lam` holds one number a layer."""
        logits = self.steps(self._tensor(X))[f"S{self.depth}"]  # (n, K)
        loss = self.mean_loss(logits, torch.as_tensor(y))
        weights = (self.tensors[f"W{layer}"] for layer in range(1, self.depth + 1))
        cost = loss + sum(lam_l * (W * W).sum() for W, lam_l in zip(weights, lam, strict=True))
        found = torch.autograd.grad(cost, list(self.tensors.values()))
        gradients = {name: gradient.numpy(force=True) for name, gradient in zip(self.tensors, found, strict=True)}
        return CostAndGradients(logits.numpy(force=True), loss.item(), cost.item(), gradients)

    def signals(self, X: np.ndarray, y: np.ndarray) -> Signals:
        """What flows through the network at X (n, d), y (n,)."""
        steps = self.steps(self._tensor(X))
        loss = self.mean_loss(steps[f"S{self.depth}"], torch.as_tensor(y))
        derivatives = dict(zip(steps, torch.autograd.grad(loss, list(steps.values())), strict=True))

        found: dict[str, dict[int, np.ndarray]] = {name: {} for name in ("A", "S", "S_tilde", "dA", "dS", "dS_tilde")}
        found["A"][0] = X
        for name, step in steps.items():
            kind, layer = split_name(name)
            found[kind][layer] = step.numpy(force=True)
            found[f"d{kind}"][layer] = derivatives[name].numpy(force=True)
        return Signals(**found, eps=self.eps)

    def _tensor(self, X: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(X, dtype=self.tensors["W1"].dtype)
