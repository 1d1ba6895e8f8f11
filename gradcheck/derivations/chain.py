"""A network as a chain of layers, and its loss when a single entry of a single tensor is moved: the fast path.

    A_0 = X,    S_l = A_{l-1} W_l^T + b_l,    A_l = activate(S_l, gamma_l, beta_l),    loss(S_k)

`activate` works on each column (unit) by itself, so an entry of layer l moves one column of S_l. That column is computed
again, the next layer gets a rank-one update, and only what lies behind runs again: for P perturbations at once, on an
axis of their own, in pieces that stay in the processor's cache. Only forward functions come in here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.per_layer import split_name

# Numbers in the largest array of a piece: 4 MiB of float64. A few such arrays stay in the last-level cache, and each
# call into NumPy is long enough that the threads do not queue for the interpreter.
PIECE = 524_288
SMALLEST_PIECE = 8


class ForwardPass(NamedTuple):
    """The arrays of a forward pass by layer: A[0..k-1] and S[1..k], (n, m), and where the ReLU is active, active[1..k-1]."""

    A: dict[int, Array]
    S: dict[int, Array]
    active: dict[int, Array]


@dataclass(frozen=True)
class Chain:
    """A network as a function of each entry of its parameters.

    `parameters` are named W1, b1, gamma1, beta1, W2, ... (gamma and beta only with batch norm), X is (n, d).
    `linear(A, W, b, out) -> S`, where `out` is an array to write into or None.
    `activate(S, gamma, beta) -> (A, active)`, where gamma and beta are None without batch norm and `active` is the sign pattern
    of the ReLU; it may overwrite S.
    `loss(logits, rows) -> share of the mean loss`, of those images that the logits (..., rows, K) belong to.
    All take a leading axis and complex arrays.

    Example:
        >>> import numpy as np
        >>> chain = Chain(
        ...     parameters={"W1": np.eye(2), "b1": np.zeros(2)},
        ...     X=np.ones((3, 2)),
        ...     linear=lambda A, W, b, out: np.add(np.matmul(A, W.swapaxes(-1, -2), out=out), b, out=out),
        ...     activate=lambda S, gamma, beta: (np.maximum(S, 0), S > 0),
        ...     loss=lambda logits, rows: (logits**2).sum(axis=(-2, -1)) / 3,
        ... )
        >>> chain.losses("b1", np.array([0, 1]), step=1.0)[0]  # the loss with 1 added to each bias
        array([5., 5.])
    """

    parameters: dict[str, Array]
    X: Array
    linear: Callable[[Array, Array, Array, Array | None], Array]
    activate: Callable[[Array, Array | None, Array | None], tuple[Array, Array]]
    loss: Callable[[Array, Array], Any]

    @cached_property
    def depth(self) -> int:
        """The number of weight matrices."""
        return sum(name.startswith("W") for name in self.parameters)

    @cached_property
    def base(self) -> ForwardPass:
        """The unperturbed forward pass."""
        base = ForwardPass({0: self.X}, {}, {})
        for layer in range(1, self.depth + 1):
            base.S[layer] = self._linear(base.A[layer - 1], layer)  # (n, m)
            if layer < self.depth:
                base.A[layer], base.active[layer] = self._activate(base.S[layer].copy(), layer)  # (n, m) each
        return base

    @property
    def logits(self) -> Array:
        """The unperturbed logits, (n, K)."""
        return self.base.S[self.depth]

    @cached_property
    def loss_of_each(self) -> Array:
        """What each image adds to the mean loss, (n,)."""
        return np.array([self.loss(self.logits[[row]], np.array([row])) for row in range(len(self.logits))])

    def at(self, inputs: Mapping[str, Array], dtype: Any) -> "Chain":
        """The same chain at other numbers: `inputs` holds the parameters by name, and "X"; all are cast to `dtype`."""
        cast = {name: inputs[name].astype(dtype) for name in (*self.parameters, "X")}
        return replace(self, X=cast.pop("X"), parameters=cast)

    def same_pattern(self, other: "Chain") -> bool:
        """Whether every ReLU is active in both chains or in neither."""
        return all((active == other.base.active[layer]).all() for layer, active in self.base.active.items())

    def penalty(self, lam: Sequence[float]) -> float:
        """sum_l lam_l sum W_l^2 at the unperturbed parameters; `lam` holds one number a layer."""
        return sum(lam_l * (self.parameters[f"W{layer}"] ** 2).sum() for layer, lam_l in enumerate(lam, start=1))

    def losses(self, tensor: str, entries: Array, step: complex) -> tuple[Array, Array]:
        """The loss with `step`, real or complex, added to one entry of `tensor`, for each of `entries` (P,) flat indices.

        Returns the losses (P,) and how many ReLUs have another sign than unperturbed (P,).
        """
        kind, layer = split_name(tensor)
        A, S = self.base.A[layer - 1], self.base.S[layer]  # (n, d), (n, m)
        unit = entries // A.shape[1] if kind == "W" else entries  # (P,)
        column = S.take(unit, axis=1).astype(np.result_type(step, float), copy=False)  # (n, P)
        if kind == "W":
            column += step * A.take(entries % A.shape[1], axis=1)  # (n, P)
        elif kind == "b":
            column += step  # (n, P)
        if layer < self.depth:
            gamma_step, beta_step = step if kind == "gamma" else 0, step if kind == "beta" else 0
            return self._losses_from_columns(layer, unit, column, gamma_step, beta_step)
        logits = perturbations_first(np.empty((S.shape[1], *column.shape), column.dtype))  # (P, n, K)
        logits[:] = S
        logits[np.arange(len(unit)), :, unit] = column.T
        return self.loss(logits, np.arange(len(column))), np.zeros(len(unit), int)

    def _losses_from_columns(
        self, layer: int, unit: Array, column: Array, gamma_step: complex, beta_step: complex
    ) -> tuple[Array, Array]:
        """`losses` of a hidden layer in which `column` (n, P) stands for the column of S of each `unit` (P,)."""
        A, S, active = self.base
        gamma, beta = self.parameters.get(f"gamma{layer}"), self.parameters.get(f"beta{layer}")
        if gamma is not None and beta is not None:
            gamma, beta = gamma[unit] + gamma_step, beta[unit] + beta_step  # (P,) each
        # Each column is a unit of its own here: P columns are a layer of P units.
        moved, pattern = self.activate(column, gamma, beta)  # (n, P) each
        crossed = count_changes(pattern, active[layer].take(unit, axis=1), axis=0)  # (P,)
        dA = moved - A[layer].take(unit, axis=1)  # (n, P)
        # Where the unit stays silent for an image, its loss is unchanged. Batch norm makes all images depend on each other.
        rows = np.flatnonzero((dA != 0).any(axis=1)) if gamma is None else np.arange(len(column))
        unchanged = self.loss_of_each.sum() - self.loss_of_each[rows].sum()
        if not len(rows):
            return np.full(len(unit), unchanged, column.dtype), crossed
        S_next = perturbations_first(self.parameters[f"W{layer + 1}"].take(unit, axis=1)[:, None] * dA[rows])  # (P, n, m)
        S_next += S[layer + 1][rows]
        logits, crossings = self._forward(S_next, layer + 1, rows)  # (P, n, K), (P,)
        return self.loss(logits, rows) + unchanged, crossed + crossings

    def _forward(self, S: Array, layer: int, rows: Array) -> tuple[Array, Array]:
        """From S (P, n, m) of a layer, at the images `rows`, to the logits (P, n, K), and how many ReLUs have changed (P,)."""
        crossed = np.zeros(len(S), int)
        for behind in range(layer, self.depth):
            A, pattern = self._activate(S, behind)  # (P, n, m) each
            crossed = crossed + count_changes(pattern, self.base.active[behind][rows], axis=(1, 2))  # (P,)
            S = self._linear_of_many(A, behind + 1)  # (P, n, m)
        return S, crossed

    def losses_along(self, tensor: str, direction: Array, steps: Array) -> tuple[Array, Array]:
        """The losses with `steps` (T,) times `direction`, an array of the tensor's shape, added to it: (T,).

        And how many ReLUs have another sign than unperturbed (T,).
        """
        kind, layer = split_name(tensor)
        steps = steps[:, None, None]  # (T, 1, 1)
        S, crossed = np.repeat(self.base.S[layer][None], len(steps), axis=0), np.zeros(len(steps), int)  # (T, n, m), (T,)
        if kind == "W":
            S += steps * (self.base.A[layer - 1] @ direction.T)  # (T, n, m)
        elif kind == "b":
            S += steps * direction  # (T, n, m)
        parameters = self.parameters
        if kind in ("gamma", "beta"):
            parameters = parameters | {tensor: parameters[tensor] + steps[:, 0] * direction}  # (T, m)
        for behind in range(layer, self.depth):
            A, pattern = self._activate(S, behind, parameters)  # (T, n, m) each
            crossed = crossed + count_changes(pattern, self.base.active[behind], axis=(1, 2))  # (T,)
            S = self._linear(A, behind + 1)  # (T, n, m)
        return self.loss(S, np.arange(len(self.X))), crossed

    def _linear(self, A: Array, layer: int) -> Array:
        return self.linear(A, self.parameters[f"W{layer}"], self.parameters[f"b{layer}"], None)

    def _activate(self, S: Array, layer: int, parameters: Arrays | None = None) -> tuple[Array, Array]:
        """`activate` with gamma and beta of the layer, where it has them; `parameters` stand for those of the chain."""
        parameters = self.parameters if parameters is None else parameters
        return self.activate(S, parameters.get(f"gamma{layer}"), parameters.get(f"beta{layer}"))

    def _linear_of_many(self, A: Array, layer: int) -> Array:
        """`linear` of A (P, n, d), as one large product: (P, n, m)."""
        W, b = self.parameters[f"W{layer}"], self.parameters[f"b{layer}"]
        P, n, d = A.shape
        out = np.empty((len(W), n, P), A.dtype)
        A = np.ascontiguousarray(A.transpose(2, 1, 0))  # (d, n, P)
        self.linear(A.reshape(d, n * P).T, W, b, out.reshape(len(W), n * P).T)
        return perturbations_first(out)

    def pieces(self, tensor: str, entries: Array) -> Iterator[Array]:
        """`entries` (entries,) in pieces of which the widest array behind `tensor` has PIECE numbers at most.

        But no piece is planned with fewer than SMALLEST_PIECE entries.

        Where a unit has many entries, a piece holds entries of one unit alone: they concern the same images.
        """
        kind, layer = split_name(tensor)
        widths = [self.parameters[f"b{behind}"].size for behind in range(min(layer + 1, self.depth), self.depth + 1)]
        size = max(SMALLEST_PIECE, PIECE // (len(self.X) * max(widths)))
        fan_in = self.base.A[layer - 1].shape[1]
        groups = [entries]
        if kind == "W" and layer < self.depth and fan_in >= size:
            groups = np.split(entries, np.flatnonzero(np.diff(entries // fan_in)) + 1)
        for group in groups:
            # Pieces of equal length, so that none is short.
            yield from np.array_split(group, -(-len(group) // size))


def perturbations_first(array: Array) -> Array:
    """An array (m, n, P) in memory, the perturbations side by side, seen as (P, n, m)."""
    return array.transpose(2, 1, 0)


def count_changes(pattern: Array, unperturbed: Array, axis: int | tuple[int, ...]) -> Array:
    """How many ReLUs have another sign than unperturbed, summed over `axis`: counted only if there are any, which is rare."""
    differs = pattern != unperturbed
    return np.count_nonzero(differs, axis) if differs.any() else np.zeros(np.delete(differs.shape, axis), int)


def penalty_change(W: Array, lam_l: float | Array, step: complex) -> Array:
    """lam_l ((w + step)^2 - w^2) for each entry w of W (P,): what the penalty gains when that entry moves alone."""
    moved = W + step  # (P,)
    return lam_l * (moved * moved - W * W)  # (P,), or (cases, P) where lam_l is (cases, 1)
