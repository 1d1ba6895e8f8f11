"""The operations of a PyTorch cost, handed to a Run (see `operations.py`)."""

from typing import Any

from torch.overrides import TorchFunctionMode

from gradcheck.diagnosis.operations import Call, Run

# PyTorch's names where NumPy has others.
NAMES = {"mul": "multiply", "rmul": "multiply", "div": "divide", "truediv": "divide", "radd": "add"}


class OperationsMode(TorchFunctionMode):
    """Inside, PyTorch's functions are operations of `run`, but for those that write into what they are given."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        call, name = Call(function, tuple(arguments), keywords or {}), getattr(function, "__name__", "")
        bare = name.strip("_")
        writes = name == f"{bare}_" or bare in ("setitem", "set", "get") or "out" in call.keywords
        return call.result() if writes else self.run.operation(NAMES.get(bare, bare), call)
