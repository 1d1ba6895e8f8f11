"""The same random numbers in any dtype: PyTorch draws others for float32 tensors than for float64 ones."""

from typing import Any

import torch

from gradcheck.rounding.torch_private import Operator, OperatorMode, aten, draws, is_in_place

WIDER = (torch.float64, torch.complex64, torch.complex128)


class SameDraws(OperatorMode):
    """Inside it, what is drawn is drawn in `dtype`, "float64" or "float32", whatever the dtype of the tensors that ask for it.

    So a mask by `torch.rand_like(x)` is the same where float32 code is run in float64, or with complex numbers.
    """

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.dtype = getattr(torch, dtype)

    def run(self, operator: Operator, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The result of the operator, drawn in `dtype` and widened to what was asked for."""
        if not draws(operator):
            return operator(*arguments, **keywords)
        if operator == aten.native_dropout.default:
            return self.dropout(*arguments, **keywords)
        asked = [part for part in (*arguments, *keywords.values()) if self.is_wider(part)]
        if not asked:
            return operator(*arguments, **keywords)
        narrowed = [self.narrowed(part) for part in arguments]
        found = operator(*narrowed, **{key: self.narrowed(part) for key, part in keywords.items()})
        if is_in_place(operator):
            return arguments[0].copy_(found)
        return found.double() if found.is_floating_point() else found

    def dropout(self, x: torch.Tensor, p: float, train: bool | None = True) -> tuple[torch.Tensor, torch.Tensor]:
        """What stands for `native_dropout`, whose result has the dtype of what it draws."""
        _, mask = torch.native_dropout(torch.ones_like(x, dtype=self.dtype), p, train)
        kept = x * mask if p == 1 else x * mask / (1 - p)
        return (kept if train else x.clone()), mask

    def is_wider(self, part: Any) -> bool:
        """Whether a tensor, or a dtype, is not the one to draw in, but has room for it."""
        dtype = part.dtype if isinstance(part, torch.Tensor) else part
        return dtype in WIDER and dtype != self.dtype

    def narrowed(self, part: Any) -> Any:
        """A wider tensor, or dtype, in the dtype to draw in; anything else as it is."""
        if not self.is_wider(part):
            return part
        if not isinstance(part, torch.Tensor):
            return self.dtype
        return (part.real if part.is_complex() else part).to(self.dtype)
