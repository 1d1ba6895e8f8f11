"""Every network as an ordinary PyTorch module: autograd derives the backward pass."""

from models.mlp import MLP

__all__ = ["MLP"]
