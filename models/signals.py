"""What flows through a correct network, forward and backward: what a diagnosis builds its suspicions from."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gradcheck.diagnosis.signals import ByLayer, Signals


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
    found: dict[str, ByLayer] = {name: [None] for name in ("S", "S_tilde", "A", "dS", "dS_tilde", "dA")}
    found["A"] = [X.numpy(force=True)]
    for (kind, output), gradient in zip(outputs, gradients, strict=True):
        if kind == "S":
            for by_layer in found.values():
                by_layer.append(None)
        found[kind][-1] = output.numpy(force=True)
        found[f"d{kind}"][-1] = gradient.numpy(force=True)
    return Signals(**found, eps=eps)
