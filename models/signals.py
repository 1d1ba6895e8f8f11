"""What flows through a correct network, forward and backward: what a diagnosis builds its suspicions from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from gradcheck.signals import Signals


def capture_signals(modules: nn.Sequential, loss: Callable[[Tensor], Tensor], X: Tensor, eps: float) -> Signals:
    """The Signals of an `nn.Sequential` of `nn.Linear`, `nn.BatchNorm1d` and `nn.ReLU` in training mode, at X (n, d).

    `loss(logits)` is the mean loss; `eps` is batch norm's. Changes nothing: running statistics move in a copy.
    """
    kinds = {nn.Linear: "S", nn.BatchNorm1d: "S_tilde", nn.ReLU: "A"}
    outputs: list[tuple[str, Tensor]] = []

    def record(module: nn.Module, arguments: Any, output: Tensor) -> None:
        outputs.append((kinds[type(module)], output))

    hooks = [module.register_forward_hook(record) for module in modules]
    buffers = {name: buffer.clone() for name, buffer in modules.named_buffers()}
    training = modules.training
    try:
        logits = functional_call(modules.train(), dict(modules.named_parameters()) | buffers, X)
        gradients = torch.autograd.grad(loss(logits), [output for _, output in outputs])
    finally:
        modules.train(training)
        for hook in hooks:
            hook.remove()
    found: dict[str, dict[int, np.ndarray]] = {name: {} for name in ("S", "S_tilde", "A", "dS", "dS_tilde", "dA")}
    found["A"][0], layer = X.numpy(force=True), 0
    for (kind, output), gradient in zip(outputs, gradients, strict=True):
        layer += kind == "S"
        found[kind][layer] = output.numpy(force=True)
        found[f"d{kind}"][layer] = gradient.numpy(force=True)
    return Signals(**found, eps=eps)
