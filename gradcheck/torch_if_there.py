"""PyTorch, where it is installed: gradcheck works without it, and imports it no sooner than something needs it.

Nobody can hold a tensor before PyTorch is imported, so a question about tensors imports nothing.
"""

import importlib.util
import sys
from typing import Any

import numpy as np


def imported_torch() -> Any:
    """The module `torch` if it is imported already, else None."""
    return sys.modules.get("torch")


def is_tensor(value: Any) -> bool:
    """Whether `value` is a PyTorch tensor."""
    torch = imported_torch()
    return torch is not None and isinstance(value, torch.Tensor)


def array_of(tensor: Any) -> np.ndarray:
    """The numbers of a tensor as an array, without a copy if it can; NumPy's nearest type where it has not the tensor's own."""
    torch = sys.modules["torch"]
    dense = tensor.detach() if tensor.layout == torch.strided else tensor.detach().to_dense()
    if dense.is_floating_point() and dense.dtype not in (torch.float64, torch.float32, torch.float16):
        dense = dense.float()
    found: np.ndarray = dense.resolve_conj().resolve_neg().numpy(force=True)
    return found


def torch_is_installed() -> bool:
    """Whether PyTorch can be imported."""
    return imported_torch() is not None or importlib.util.find_spec("torch") is not None
