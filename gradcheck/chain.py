"""A network as a chain of layers, and its loss when a single entry of a single tensor is moved: the fast path.

    A_0 = X,    S_l = A_{l-1} W_l^T + b_l,    A_l = activate(S_l, gamma_l, beta_l),    loss(S_k)

`activate` works on each column (unit) by itself, so an entry of layer l moves one column of S_l. That column is computed
anew, the next layer gets a rank-one update, and only what lies behind runs again: for P perturbations at once, on an
axis of their own, in pieces that stay in the processor's cache. Only forward functions come in here.
"""

import os
import re
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

# Numbers in the largest array of a piece: 1 MiB of float64. A few such arrays stay in the last-level cache, and each
# call into NumPy is long enough that the threads do not queue for the interpreter.
PIECE = 131_072
SMALLEST_PIECE = 8


@dataclass(frozen=True)
class Chain:
    """`parameters` are named W1, b1, gamma1, beta1, W2, ... (gamma and beta only with batch norm).

    `linear(A, W, b) -> S`; `activate(S, gamma, beta) -> (A, active)`, with gamma and beta None where there are none and
    `active` the sign pattern of the ReLU; `loss(logits) -> mean loss`. All take a leading axis and complex arrays.
    """

    parameters: dict
    X: np.ndarray
    linear: Callable[..., Any]
    activate: Callable[..., Any]
    loss: Callable[..., Any]

    @cached_property
    def depth(self):
        return sum(name.startswith("W") for name in self.parameters)

    @cached_property
    def base(self):
        """The unperturbed pass: lists A[0..k-1], S[1..k], active[1..k-1]; S[0] and active[0] stand empty."""
        p, A, S, active = self.parameters, [self.X], [None], [None]
        for layer in range(1, self.depth + 1):
            S.append(self.linear(A[-1], p[f"W{layer}"], p[f"b{layer}"]))  # (n, m)
            if layer < self.depth:
                out, pattern = self.activate(S[-1], p.get(f"gamma{layer}"), p.get(f"beta{layer}"))  # (n, m)
                A.append(out)
                active.append(pattern)
        return A, S, active

    def at(self, inputs, dtype):
        """The same chain at other numbers: `inputs` holds the parameters by name, and "X"; all are cast to `dtype`."""
        cast = {name: inputs[name].astype(dtype) for name in (*self.parameters, "X")}
        return replace(self, X=cast.pop("X"), parameters=cast)

    def same_pattern(self, other):
        """Whether every ReLU is active in both chains or in neither."""
        pairs = zip(self.base[2][1:], other.base[2][1:], strict=True)
        return all((ours == theirs).all() for ours, theirs in pairs)

    def penalty(self, lam):
        """sum_l lam_l sum W_l^2 at the unperturbed parameters; `lam` holds one number a layer."""
        return sum(lam_l * (self.parameters[f"W{layer}"] ** 2).sum() for layer, lam_l in enumerate(lam, start=1))

    def losses(self, tensor, entries, step):
        """The loss with `step` added to one entry of `tensor`, for each of `entries` (P,) flat indices.

        Returns the losses (P,) and whether the pattern of any ReLU differs from the unperturbed one (P,).
        """
        A, S, active = self.base
        kind, layer = re.fullmatch(r"(\D+)(\d+)", tensor).groups()
        layer = int(layer)
        unit = entries // A[layer - 1].shape[1] if kind == "W" else entries  # (P,)
        column = S[layer][:, unit]  # (n, P)
        if kind == "W":
            column = column + step * A[layer - 1][:, entries % A[layer - 1].shape[1]]  # (n, P)
        elif kind == "b":
            column = column + step  # (n, P)
        if layer == self.depth:
            logits = np.empty((len(column), len(unit), S[layer].shape[1]), column.dtype)  # (n, P, K)
            logits[:] = S[layer][:, None, :]
            logits[:, np.arange(len(unit)), unit] = column
            return self.loss(logits.swapaxes(0, 1)), np.zeros(len(unit), bool)

        gamma, beta = self.parameters.get(f"gamma{layer}"), self.parameters.get(f"beta{layer}")
        if gamma is not None:
            gamma = gamma[unit] + (step if kind == "gamma" else 0)  # (P,)
            beta = beta[unit] + (step if kind == "beta" else 0)  # (P,)
        # Each column is a unit of its own here: P columns are a layer of P units.
        moved, pattern = self.activate(column, gamma, beta)  # (n, P)
        crossed = (pattern != active[layer][:, unit]).any(axis=0)  # (P,)
        dA = moved - A[layer][:, unit]  # (n, P)
        out = dA[:, :, None] * self.parameters[f"W{layer + 1}"].T[unit]  # (n, P, m)
        out += S[layer + 1][:, None, :]
        for behind in range(layer + 1, self.depth):
            p = self.parameters
            # (n, P, m) in memory, so that the linear map is one large product; seen as (P, n, m) where rows are averaged.
            moved, pattern = self.activate(out.swapaxes(0, 1), p.get(f"gamma{behind}"), p.get(f"beta{behind}"))
            crossed |= (pattern != active[behind]).any(axis=(1, 2))  # (P,)
            out = self.linear(moved.swapaxes(0, 1), p[f"W{behind + 1}"], p[f"b{behind + 1}"])  # (n, P, m)
        return self.loss(out.swapaxes(0, 1)), crossed

    def pieces(self, tensor, entries):
        """`entries` cut so that the widest array behind `tensor` stays within PIECE numbers, or has SMALLEST_PIECE entries."""
        layer = int(re.search(r"\d+", tensor).group())
        widths = [self.parameters[f"b{behind}"].size for behind in range(min(layer + 1, self.depth), self.depth + 1)]
        size = max(SMALLEST_PIECE, PIECE // (len(self.X) * max(widths)))
        return (entries[start : start + size] for start in range(0, len(entries), size))


def in_threads(function, pieces):
    """`function(piece)` for all pieces, in order, on every core; BLAS gets one thread in each meanwhile."""
    keep_freed_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores) as pool:
        # A few pieces ahead of the reader: of large networks there are hundreds of thousands.
        waiting = deque()
        for piece in pieces:
            if len(waiting) == 2 * cores:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, piece))
        while waiting:
            yield waiting.popleft().result()


def keep_freed_memory():
    """Frees one large block, so that the C library keeps the many temporaries to come instead of returning their pages.

    glibc returns freed memory to the kernel above a threshold that rises to the largest block freed so far, 32 MiB at
    most. Without this, every temporary of a piece faults its pages in anew, and the complex step takes twice as long.
    """
    np.empty(31 << 20, np.uint8)
