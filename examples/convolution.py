"""A 2-D convolution with padding and stride, its backward pass by hand; the reference is torch.nn.functional.conv2d.

    python compare.py --pair examples/convolution.py

As in PyTorch it is a cross-correlation: the kernel is not flipped on the way forward, and is on the way back. The cost is
sum(DOUT * out) with a random upstream gradient DOUT.
"""

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

n, C, F, H, W, k = 2, 3, 4, 7, 6, 3  # images, channels, filters, height, width, kernel size
PADDING, STRIDE = 1, 2
h, w = ((size + 2 * PADDING - k) // STRIDE + 1 for size in (H, W))

rng = np.random.default_rng(0)
DOUT = rng.standard_normal((n, F, h, w))
parameters = {
    "x": rng.standard_normal((n, C, H, W)),
    "kernel": rng.standard_normal((F, C, k, k)),
    "bias": rng.standard_normal(F),
}


def pad(x, size):
    return np.pad(x, ((0, 0), (0, 0), (size, size), (size, size)))


def forward(x, kernel, bias):
    windows = sliding_window_view(pad(x, PADDING), (k, k), axis=(2, 3))[:, :, ::STRIDE, ::STRIDE]  # (n, C, h, w, k, k)
    out = np.einsum("nchwij,fcij->nfhw", windows, kernel) + bias[:, None, None]  # (n, F, h, w)
    return out, (windows, kernel)


def backward(dout, cache):
    windows, kernel = cache
    dkernel = np.einsum("nfhw,nchwij->fcij", dout, windows)  # (F, C, k, k)
    dbias = dout.sum(axis=(0, 2, 3))  # (F,)
    # What stride 1 would have given, with zeros where the stride skipped: dx is its convolution with the flipped kernel.
    dilated = np.zeros((n, F, H + 2 * PADDING - k + 1, W + 2 * PADDING - k + 1))
    dilated[:, :, ::STRIDE, ::STRIDE] = dout
    dwindows = sliding_window_view(pad(dilated, k - 1), (k, k), axis=(2, 3))  # (n, F, H + 2 PADDING, W + 2 PADDING, k, k)
    flipped = kernel[:, :, ::-1, ::-1]  # (F, C, k, k)
    dpadded = np.einsum("nfhwij,fcij->nchw", dwindows, flipped)  # (n, C, H + 2 PADDING, W + 2 PADDING)
    dx = dpadded[:, :, PADDING : PADDING + H, PADDING : PADDING + W]  # (n, C, H, W)
    return dx, dkernel, dbias


def cost(parameters):
    out, _ = forward(**parameters)
    return (DOUT * out).sum()


def gradients(parameters):
    _, cache = forward(**parameters)
    return dict(zip(("x", "kernel", "bias"), backward(DOUT, cache), strict=True))


def reference(parameters):
    out = torch.nn.functional.conv2d(parameters["x"], parameters["kernel"], parameters["bias"], STRIDE, PADDING)
    return (torch.from_numpy(DOUT) * out).sum()
