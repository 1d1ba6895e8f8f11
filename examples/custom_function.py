"""A custom torch.autograd.Function, a fused SwiGLU, whose backward is held against its own forward.

    python compare.py --pair examples/custom_function.py

out = silu(x W^T) * (x V^T), with silu(z) = z sigmoid(z), as in the feed-forward layers of language models. The sigmoid is
not saved: the backward pass computes it anew.
"""

import torch

from gradcheck import of_function

n, d, m = 4, 5, 6  # rows, inputs, hidden units


class SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, W, V):
        gate, value = x @ W.T, x @ V.T  # (n, m), (n, m)
        ctx.save_for_backward(x, W, V, gate, value)
        return gate * torch.sigmoid(gate) * value  # (n, m)

    @staticmethod
    def backward(ctx, dout):
        x, W, V, gate, value = ctx.saved_tensors
        sigmoid = torch.sigmoid(gate)  # (n, m)
        silu = gate * sigmoid  # (n, m)
        dgate = dout * value * (sigmoid + silu * (1 - sigmoid))  # (n, m)
        dvalue = dout * silu  # (n, m)
        dx = dgate @ W + dvalue @ V  # (n, d)
        dW = dgate.T @ x  # (m, d)
        dV = dvalue.T @ x  # (m, d)
        return dx, dW, dV


generator = torch.Generator().manual_seed(0)
shapes = {"x": (n, d), "W": (m, d), "V": (m, d)}
inputs = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}

parameters, cost, gradients, reference, layers = of_function(SwiGLU, inputs)
