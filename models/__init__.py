"""Every network as an ordinary PyTorch module: autograd derives the backward pass."""

from models.mlp import MLP
from models.stack import Stack

__all__ = ["MLP", "Stack"]
