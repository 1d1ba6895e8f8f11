"""PyTorch, where it is installed: gradcheck works without it, and imports it no sooner than something needs it.

Nobody can hold a tensor before PyTorch is imported, so a question about tensors imports nothing.
"""

import importlib.util
import sys
from typing import Any


def imported_torch() -> Any:
    """The module `torch` if it is imported already, else None."""
    return sys.modules.get("torch")


def is_tensor(value: Any) -> bool:
    """Whether `value` is a PyTorch tensor."""
    torch = imported_torch()
    return torch is not None and isinstance(value, torch.Tensor)


def torch_is_installed() -> bool:
    """Whether PyTorch can be imported."""
    return imported_torch() is not None or importlib.util.find_spec("torch") is not None
