"""As `holomorphic.py`, for what PyTorch computes."""

from typing import Any

import torch

from gradcheck.rounding.holomorphic import refuse
from gradcheck.rounding.torch_private import Operator, OperatorMode, has_complex_derivative, name_of


class HolomorphicMode(OperatorMode):
    """Inside it PyTorch raises UserError where a modulus or a conjugate of a complex tensor is taken."""

    def run(self, operator: Operator, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The result of the operator. Raises UserError where that has no complex derivative."""
        complex_in = any(isinstance(argument, torch.Tensor) and argument.is_complex() for argument in arguments)
        if complex_in and not has_complex_derivative(operator):
            refuse(f"torch.{name_of(operator)}")
        return operator(*arguments, **keywords)
