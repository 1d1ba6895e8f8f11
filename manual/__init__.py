"""Every network in NumPy, with the backward pass derived by hand."""

from manual.mlp import MLP

__all__ = ["MLP"]
