"""Every network in NumPy, with the backward pass derived by hand."""

from manual.mlp import MLP
from manual.stack import Stack

__all__ = ["MLP", "Stack"]
