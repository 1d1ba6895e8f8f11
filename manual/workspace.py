"""The arrays that training writes into, made once, so that an update allocates nothing large."""

from typing import Any

import numpy as np

from gradcheck.arrays import Array
from manual.layers import transpose
from networks import Network


class Workspace:
    """The arrays for batches of n images, made at the first call with that n; another n replaces them.

    `xp` is NumPy or CuPy. `stacked` is () for one network, and (C,) for C networks: all their arrays have that leading axis.
    """

    def __init__(self, network: Network, xp: Any, dtype: np.dtype, stacked: tuple[int, ...] = ()) -> None:
        self.network, self.xp, self.dtype, self.stacked = network, xp, dtype, stacked
        self._batch: dict[int, tuple[Array, Array]] = {}
        self._update: dict[int, dict[str, Array]] = {}

    def for_batch(self, n: int) -> tuple[Array, Array]:
        """X (n, d), the batch itself, and another array like it."""
        if n not in self._batch:
            shape = (n, self.network.inputs)
            self._batch = {n: (self.xp.empty(shape, self.dtype), self.xp.empty(shape, self.dtype))}
        return self._batch[n]

    def for_update(self, n: int) -> dict[str, Array]:
        """All that an update with n images computes of a batch's or a weight's size, by name.

        S of each layer; A, the ReLU's `active` and dA of each hidden layer, with dS behind a batch norm; and dW, the gradient
        of each weight, with `scratch`, an array like it.
        """
        if n not in self._update:
            self._update = {n: {}}
            for layer in range(1, self.network.depth + 1):
                self._update[n] |= self._arrays_of_layer(layer, n)
        return self._update[n]

    def _arrays_of_layer(self, layer: int, n: int) -> dict[str, Array]:
        shape = (*self.stacked, *self.network.parameter_shapes()[f"W{layer}"])  # (m, d)
        arrays = {f"{name}{layer}": self.xp.empty(shape, self.dtype) for name in ("dW", "scratch")}
        arrays[f"S{layer}"] = self._of_units(layer, n, self.dtype)
        if layer < self.network.depth:
            names = ("A", "dA", "dS") if self.network.batch_norm else ("A", "dA")
            arrays |= {f"{name}{layer}": self._of_units(layer, n, self.dtype) for name in names}
            arrays[f"active{layer}"] = self._of_units(layer, n, np.dtype(bool))
        return arrays

    def _of_units(self, layer: int, n: int, dtype: np.dtype) -> Array:
        """An array (n, m); stacked ones lie in memory unit by unit, as the one product for all networks gives them."""
        units = self.network.sizes[layer]
        if self.stacked:
            return transpose(self.xp.empty((*self.stacked, units, n), dtype))
        return self.xp.empty((n, units), dtype)
