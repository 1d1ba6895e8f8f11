"""What flows through a correct network, forward and backward: what a diagnosis builds its suspicions from."""

import torch
from torch import nn
from torch.func import functional_call

from gradcheck.diagnosis.signals import Signals


def capture_signals(module, loss, X, eps):
    """The Signals of an `nn.Sequential` of `nn.Linear`, `nn.BatchNorm1d` and `nn.ReLU` in training mode, at X (n, d).

    `loss(logits)` is the mean loss, a tensor; `eps` is batch norm's. Changes nothing: running statistics move in a copy.
    """
    kinds = {nn.Linear: "S", nn.BatchNorm1d: "S_tilde", nn.ReLU: "A"}
    outputs = []
    hooks = [part.register_forward_hook(lambda part, _, out: outputs.append((kinds[type(part)], out))) for part in module]
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    training = module.training
    try:
        logits = functional_call(module.train(), dict(module.named_parameters()) | buffers, X)
        gradients = torch.autograd.grad(loss(logits), [out for _, out in outputs])
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    found = {name: [None] for name in ("S", "S_tilde", "A", "dS", "dS_tilde", "dA")}
    found["A"] = [X.numpy(force=True)]
    for (kind, out), gradient in zip(outputs, gradients, strict=True):
        if kind == "S":
            for lists in found.values():
                lists.append(None)
        found[kind][-1] = out.numpy(force=True)
        found[f"d{kind}"][-1] = gradient.numpy(force=True)
    return Signals(**found, eps=eps)
