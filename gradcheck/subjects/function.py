"""A `torch.autograd.Function` as a pair: its backward against its own forward."""

from collections.abc import Callable
from typing import Any

import torch

from gradcheck.errors import UserError
from gradcheck.faults import describe_error, kind_of
from gradcheck.guard import generators
from gradcheck.subjects.pair import Pair
from gradcheck.subjects.torch_draws import SameDraws

Tensors = dict[str, torch.Tensor]


def pair_of_function(function: type[torch.autograd.Function], inputs: dict[str, Any], seed: int) -> Pair:
    """See `gradcheck.of_function`."""
    if not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
        raise UserError(f"of_function({function!r}, ...): it has to be a class, a subclass of torch.autograd.Function")
    if not isinstance(inputs, dict):
        raise UserError(f"of_function({function.__name__}, ...): inputs is {kind_of(inputs)}; it has to be a dict by name")
    called = FunctionAtInputs(function, inputs, seed)
    pair = Pair(called.parameters, called.cost, called.gradients, called.reference)
    return pair if differentiable(called.reference, called.parameters) else pair._replace(reference=None)


class FunctionAtInputs:
    """The function at `inputs`, as cost and gradients of those that are parameters.

    The cost is the sum of the outputs that a backward is for, times random numbers, drawn with `seed`. Raises UserError.
    """

    def __init__(self, function: type[torch.autograd.Function], inputs: dict[str, Any], seed: int) -> None:
        self.function, self.inputs, self.seed = function, inputs, seed
        self.where = f"of_function({function.__name__}, ...)"
        floating = {k: v for k, v in inputs.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
        required = {k: v for k, v in floating.items() if v.requires_grad}
        self.parameters = {k: v.detach().clone() for k, v in (required or floating).items()}
        if not self.parameters:
            raise UserError(f"{self.where}: none of the inputs is a floating tensor")
        try:
            self.places = self.differentiated()
        except Exception as error:
            raise UserError(f"{self.where}: its forward raised {describe_error(error)}") from error
        if not self.places:
            raise UserError(f"{self.where}: no output can be differentiated")

    def cost(self, p: Tensors) -> torch.Tensor:
        """The weighted sum of the outputs."""
        return self.weighted_sum(self.function.apply, p)

    def gradients(self, p: Tensors) -> Tensors:
        """By the backward of the function; 0 where it returns None."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in p.items()}
        cost = self.cost(leaves)
        found = torch.autograd.grad(cost, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    def reference(self, p: Tensors) -> torch.Tensor:
        """The same cost through `forward` itself, which autograd sees through, with a stand-in for `ctx`."""
        return self.weighted_sum(self.forward, p)

    def forward(self, *arguments: Any) -> Any:
        function: Any = self.function
        separate = function.setup_context is not torch.autograd.Function.setup_context
        return function.forward(*arguments) if separate else function.forward(Context(), *arguments)

    def differentiated(self) -> list[int]:
        """The places of the outputs that a backward is for: not those of `mark_non_differentiable`, nor integers."""
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in self.parameters.items()}
        outputs = self.outputs_of(self.function.apply, leaves)
        return [place for place, out in enumerate(outputs) if getattr(out, "requires_grad", False)]

    def outputs_of(self, call: Callable[..., Any], p: Tensors) -> tuple:
        # Clones, which a function that works in place may change.
        outputs = call(*(p[name].clone() if name in p else value for name, value in self.inputs.items()))
        return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)

    def weighted_sum(self, call: Callable[..., Any], p: Tensors) -> torch.Tensor:
        outputs, generator = self.outputs_of(call, p), torch.Generator().manual_seed(self.seed)
        total: Any = 0
        for place in self.places:
            upstream = torch.randn(outputs[place].shape, generator=generator, dtype=torch.float64).to(outputs[place])
            total = total + (outputs[place] * upstream).sum()
        return total


class Context:
    """Stands in for `ctx` where a forward runs without its backward: it takes what it is given and keeps nothing."""

    def __init__(self) -> None:
        self.needs_input_grad = (True,) * 64

    def ignore(self, *tensors: Any) -> None:
        """The methods of `ctx` that a forward calls."""

    save_for_backward = save_for_forward = mark_dirty = mark_non_differentiable = set_materialize_grads = ignore


def differentiable(reference: Callable[[Tensors], torch.Tensor], parameters: Tensors) -> bool:
    """Whether autograd through `reference` reaches every parameter, and is the slope of what it differentiates.

    A forward that detaches a part of its path has another slope: it was never meant to be differentiated.
    """
    leaves = {name: tensor.detach().double().requires_grad_() for name, tensor in parameters.items()}
    generator, same = torch.Generator().manual_seed(0), same_each_time(reference, parameters)
    try:
        found = torch.autograd.grad(same(leaves), list(leaves.values()), allow_unused=True)
        if any(gradient is None for gradient in found):
            return False
        return all(
            slope_agrees(same, leaves, name, gradient, generator) for (name, gradient) in [*zip(leaves, found, strict=True)] * 3
        )
    except Exception:
        return False


def same_each_time(reference: Callable[[Tensors], torch.Tensor], parameters: Tensors) -> Callable[[Tensors], torch.Tensor]:
    """`reference` with the same random numbers at each call, those that it draws in the dtype of `parameters`."""
    states = generators()
    dtype = "float32" if any(tensor.dtype == torch.float32 for tensor in parameters.values()) else "float64"

    def same(leaves: Tensors) -> torch.Tensor:
        try:
            with SameDraws(dtype):
                return reference(leaves)
        finally:
            for state, put_back in states.values():
                put_back(state)

    return same


def slope_agrees(
    reference: Callable[[Tensors], torch.Tensor], leaves: Tensors, name: str, gradient: torch.Tensor, generator: torch.Generator
) -> bool:
    """Whether a central difference of `reference` along a random direction in one of `leaves` is what `gradient` says."""
    tensor = leaves[name].detach()
    direction = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
    step = 1e-5 * (tensor.abs().max().item() or 1.0) / direction.abs().max()
    low, high = (reference(leaves | {name: tensor + sign * step * direction}).item() for sign in (-1, 1))
    slope, claimed = (high - low) / (2 * step.item()), (gradient * direction).sum().item()
    return abs(slope - claimed) <= 1e-4 * max(abs(slope), abs(claimed)) + 1e-9 * abs(high) / step.item()
