"""Stochastic arithmetic for PyTorch code: a mode that rounds every result up or down at random (see `draws.py`)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gradcheck.arrays import Array, Arrays
from gradcheck.rounding.draws import Choices, uncertainty_over_draws
from gradcheck.rounding.torch_private import IN_PIECES, PRODUCTS, SUMS, Operator, OperatorMode, jumps, makes_new, rounds

Tensor = torch.Tensor


def rounding_uncertainty(
    evaluate: Callable[[dict[str, Array]], Arrays],
    inputs: Arrays,
    dtype: str,
    saw_nothing: Callable[[], None] = lambda: None,
) -> dict[str, Array]:
    """The uncertainty of each quantity that `evaluate(inputs)` returns, arrays by name, as arrays of their shapes.

    `evaluate` computes with PyTorch, in `dtype`, "float64" or "float32"; `inputs` are float64 arrays by name. Infinity says
    that nothing is known: every run came by other branches, or a result was not finite. `saw_nothing()` is called where PyTorch
    computes nothing.
    """
    generator, results = torch.Generator().manual_seed(0), 0

    def run(inputs: dict[str, Array], unit: float, choices: Choices) -> Arrays:
        nonlocal results
        with RoundingNoise(unit, generator, choices) as noise:
            values = evaluate(inputs)
        results += noise.results
        return values

    found = uncertainty_over_draws(run, inputs, dtype)
    if not results:
        saw_nothing()
    return found


class RoundingNoise(OperatorMode):
    """Changes every floating result inside it by one `unit`, relatively; with `unit` 0 it only takes note.

    `generator` draws which way a result is rounded; `choices` are those of the run; `results` counts what was computed.
    """

    def __init__(self, unit: float, generator: torch.Generator, choices: Choices | None = None) -> None:
        super().__init__()
        self.unit, self.generator = unit, generator
        self.choices = choices or Choices()
        self.results = 0

    def run(self, operator: Operator, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The result of the operator, rounded at random."""
        self.results += 1
        if operator in IN_PIECES:
            with self:
                return IN_PIECES[operator](*arguments, **keywords)
        if operator in SUMS and self.unit and arguments[0].is_floating_point() and arguments[0].ndim:
            arguments = (self.changed_on_the_way(*arguments[:2]), *arguments[1:])
        out = operator(*arguments, **keywords)
        if operator in PRODUCTS and self.unit and out.is_floating_point():
            A, B = (arguments[place] for place in PRODUCTS[operator])
            out = out + 2 * self.unit * self.signs(out) * partial_sum_error(A, B)
        if makes_new(operator):
            out = self.chosen(out, jumps(operator))
        return self.changed(out) if self.unit and rounds(operator) else out

    def chosen(self, out: Any, jumps: bool) -> Any:
        """The output of an operator with what the run chooses in place of the choices in it; all of it is one if it `jumps`."""
        if isinstance(out, list | tuple):
            return type(out)(self.chosen(part, jumps) for part in out)
        is_choice = isinstance(out, Tensor) and (jumps or holds_choices(out))
        return self.choices(out.clone()).clone() if is_choice else out  # the code under test may change its own in place

    def changed(self, out: Any) -> Any:
        """The output of an operator with every floating or complex tensor in it changed by one unit."""
        if isinstance(out, list | tuple):
            return type(out)(self.changed(part) for part in out)
        if not isinstance(out, Tensor) or holds_choices(out):
            return out
        return out * self.signs(out).mul_(2 * self.unit).add_(1)

    def changed_on_the_way(self, x: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        """x such that its sum over `dims`, by default all, is one in which each partial sum was rounded."""
        return x + 2 * self.unit * self.signs(x) * partial_sums(x, tuple(dims or range(x.ndim)))

    def signs(self, x: Tensor) -> Tensor:
        """Random numbers -1 and 1 of the shape of x."""
        dtype = x.real.dtype if x.is_complex() else x.dtype
        return torch.randint(0, 2, x.shape, generator=self.generator, dtype=dtype).mul_(2).sub_(1).to(x.device)


def holds_choices(tensor: Tensor) -> bool:
    """Whether it holds choices, truth values or indices, and no results."""
    return not (tensor.is_floating_point() or tensor.is_complex())


def partial_sums(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The sums of x over `dims` as a loop passes them: a tensor like x, each entry the sum of those up to it."""
    last = tuple(range(-len(dims), 0))
    moved = x.movedim(dims, last)
    return moved.flatten(-len(dims)).cumsum(-1).reshape(moved.shape).movedim(last, dims)


def partial_sum_error(A: Tensor, B: Tensor) -> Tensor:
    """How far, in units, the roundings of its partial sums take each entry of A (..., n, k) times B (..., k, m): (..., n, m).

    Partial sums that grow evenly to S and are rounded at random move it by sqrt(k / 3) |S|. Where the terms have mixed signs
    they do not grow like that, and the noise of the terms themselves shows more: the share of S in the sum of |terms| says so.
    """
    S, sum_of_sizes = A @ B, A.abs() @ B.abs()  # (..., n, m) each
    share = S.abs() / sum_of_sizes.clamp(min=torch.finfo(S.dtype).tiny)  # (..., n, m)
    return (A.shape[-1] / 3) ** 0.5 * share * S.abs()  # (..., n, m)
