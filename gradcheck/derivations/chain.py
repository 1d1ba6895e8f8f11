"""A network as a chain of layers, and its loss when a single entry of a single tensor is moved: the fast path.

    A_0 = X,    S_l = A_{l-1} W_l^T + b_l,    A_l = activate(S_l, gamma_l, beta_l),    loss(S_k)

`activate` works on each column (unit) by itself, so an entry of layer l moves one column of S_l. That column is computed
anew, the next layer gets a rank-one update, and only what lies behind runs again: for P perturbations at once, on an
axis of their own, in pieces that stay in the processor's cache. Only forward functions come in here.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.per_layer import split_name
from gradcheck.threads import one_blas_thread

# Numbers in the largest array of a piece: 4 MiB of float64. A few such arrays stay in the last-level cache, and each
# call into NumPy is long enough that the threads do not queue for the interpreter.
PIECE = 524_288
SMALLEST_PIECE = 8


def perturbations_first(array):
    """An array (m, n, P) in memory, the perturbations side by side, seen as (P, n, m)."""
    return array.transpose(2, 1, 0)


def changes(pattern, unperturbed, axis):
    """How many ReLUs have another sign than unperturbed, summed over `axis`: counted only if there are any, which is rare."""
    differs = pattern != unperturbed
    return np.count_nonzero(differs, axis) if differs.any() else np.zeros(np.delete(differs.shape, axis), int)


@dataclass(frozen=True)
class Chain:
    """A network as a function of each entry of its parameters.

    `parameters` are named W1, b1, gamma1, beta1, W2, ... (gamma and beta only with batch norm), X is (n, d).
    `linear(A, W, b, out) -> S`, where `out` is an array to write into or None.
    `activate(S, gamma, beta) -> (A, active)`, where gamma and beta are None without batch norm and `active` is the sign pattern
    of the ReLU; it may overwrite S.
    `loss(logits, rows) -> share of the mean loss`, of those images that the logits (..., rows, K) belong to.
    All take a leading axis and complex arrays.
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
            S.append(self.linear(A[-1], p[f"W{layer}"], p[f"b{layer}"], None))  # (n, m)
            if layer < self.depth:
                out, pattern = self.activate(S[-1].copy(), p.get(f"gamma{layer}"), p.get(f"beta{layer}"))  # (n, m)
                A.append(out)
                active.append(pattern)
        return A, S, active

    @cached_property
    def loss_of_each(self):
        """What each image adds to the mean loss, (n,)."""
        logits = self.base[1][-1]  # (n, K)
        return np.array([self.loss(logits[[row]], np.array([row])) for row in range(len(logits))])

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

        Returns the losses (P,) and how many ReLUs have another sign than unperturbed (P,).
        """
        A, S, active = self.base
        kind, layer = split_name(tensor)
        unit = entries // A[layer - 1].shape[1] if kind == "W" else entries  # (P,)
        column = S[layer].take(unit, axis=1).astype(np.result_type(step, float), copy=False)  # (n, P)
        if kind == "W":
            column += step * A[layer - 1].take(entries % A[layer - 1].shape[1], axis=1)  # (n, P)
        elif kind == "b":
            column += step  # (n, P)
        every = np.arange(len(column))
        if layer == self.depth:
            logits = perturbations_first(np.empty((S[layer].shape[1], *column.shape), column.dtype))  # (P, n, K)
            logits[:] = S[layer]
            logits[np.arange(len(unit)), :, unit] = column.T
            return self.loss(logits, every), np.zeros(len(unit), int)

        gamma, beta = self.parameters.get(f"gamma{layer}"), self.parameters.get(f"beta{layer}")
        if gamma is not None:
            gamma = gamma[unit] + (step if kind == "gamma" else 0)  # (P,)
            beta = beta[unit] + (step if kind == "beta" else 0)  # (P,)
        # Each column is a unit of its own here: P columns are a layer of P units.
        moved, pattern = self.activate(column, gamma, beta)  # (n, P)
        crossed = changes(pattern, active[layer].take(unit, axis=1), axis=0)  # (P,)
        dA = moved - A[layer].take(unit, axis=1)  # (n, P)
        # An image that the unit stays silent at keeps its loss. Batch norm ties all images together.
        rows = np.flatnonzero((dA != 0).any(axis=1)) if gamma is None else every
        kept = self.loss_of_each.sum() - self.loss_of_each[rows].sum()
        if not len(rows):
            return np.full(len(unit), kept, column.dtype), crossed
        out = perturbations_first(self.parameters[f"W{layer + 1}"].take(unit, axis=1)[:, None] * dA[rows])  # (P, n, m)
        out += S[layer + 1][rows]
        for behind in range(layer + 1, self.depth):
            p = self.parameters
            moved, pattern = self.activate(out, p.get(f"gamma{behind}"), p.get(f"beta{behind}"))  # (P, n, m)
            crossed = crossed + changes(pattern, active[behind][rows], axis=(1, 2))  # (P,)
            out = self.linear_of_many(moved, p[f"W{behind + 1}"], p[f"b{behind + 1}"])  # (P, n, m)
        return self.loss(out, rows) + kept, crossed

    def losses_along(self, tensor, direction, steps):
        """The losses with `steps` (T,) times `direction`, an array of the tensor's shape, added to it: (T,).

        And how many ReLUs have another sign than unperturbed (T,).
        """
        A, S, active = self.base
        kind, layer = split_name(tensor)
        p = self.parameters
        steps = steps[:, None, None]  # (T, 1, 1)
        out, crossed = np.repeat(S[layer][None], len(steps), axis=0), np.zeros(len(steps), int)  # (T, n, m)
        if kind == "W":
            out += steps * (A[layer - 1] @ direction.T)  # (T, n, m)
        elif kind == "b":
            out += steps * direction  # (T, n, m)
        for behind in range(layer, self.depth):
            norm = {name: p.get(f"{name}{behind}") for name in ("gamma", "beta")}
            if behind == layer and kind in norm:
                norm[kind] = norm[kind] + steps[:, 0] * direction  # (T, m)
            moved, pattern = self.activate(out, **norm)  # (T, n, m)
            crossed = crossed + changes(pattern, active[behind], axis=(1, 2))  # (T,)
            out = self.linear(moved, p[f"W{behind + 1}"], p[f"b{behind + 1}"], None)  # (T, n, m)
        return self.loss(out, np.arange(len(self.X))), crossed

    def linear_of_many(self, A, W, b):
        """`linear` of A (P, n, d), as one large product: (P, n, m)."""
        P, n, d = A.shape
        out = np.empty((len(W), n, P), A.dtype)
        A = np.ascontiguousarray(A.transpose(2, 1, 0))  # (d, n, P)
        self.linear(A.reshape(d, n * P).T, W, b, out.reshape(len(W), n * P).T)
        return perturbations_first(out)

    def pieces(self, tensor, entries):
        """`entries` in pieces whose widest array behind `tensor` stays within PIECE numbers, or has SMALLEST_PIECE entries.

        Where a unit has many entries, a piece holds entries of one unit alone: they concern the same images.
        """
        kind, layer = split_name(tensor)
        widths = [self.parameters[f"b{behind}"].size for behind in range(min(layer + 1, self.depth), self.depth + 1)]
        size = max(SMALLEST_PIECE, PIECE // (len(self.X) * max(widths)))
        fan_in = self.base[0][layer - 1].shape[1]
        groups = [entries]
        if kind == "W" and layer < self.depth and fan_in >= size:
            groups = np.split(entries, np.flatnonzero(np.diff(entries // fan_in)) + 1)
        for group in groups:
            # Pieces of equal length, so that none is short.
            yield from np.array_split(group, -(-len(group) // size))


def in_threads(function, pieces):
    """`function(piece)` for all pieces, in order, on every core; BLAS gets one thread in each meanwhile."""
    keep_freed_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with one_blas_thread(), ThreadPoolExecutor(cores) as pool:
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
