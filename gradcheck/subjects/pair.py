"""Anyone's pair: parameters, a cost, and the gradient that is claimed for it, in NumPy or PyTorch.

`Pair` holds the functions as they were given; `Calls` calls them with arrays, the same random numbers each time.
"""

import contextlib
import inspect
from typing import Any, NamedTuple

import numpy as np
import torch

from gradcheck.errors import UserError
from gradcheck.faults import raised
from gradcheck.guard import bits, generators
from gradcheck.rounding.holomorphic import WatchTorch, watched
from gradcheck.rounding.numpy_noise import Noise
from gradcheck.rounding.stochastic import UNIT, RoundingNoise


class Pair(NamedTuple):
    """What a pair file defines, and what `check` takes.

    `parameters` maps names to arrays or tensors of float64 or float32, of any shape. `cost(parameters)` returns a scalar,
    `gradients(parameters)` a dict of the same names and shapes. Both get a dict like `parameters`; `cost` also gets float64
    and, where it takes them, complex128 arrays. `reference(parameters)` is optional: the same cost in PyTorch, from a dict of
    float64 tensors to a scalar that autograd differentiates. `layers`, a `Layers`, is optional.
    """

    parameters: dict
    cost: Any
    gradients: Any
    reference: Any = None
    layers: Any = None


def of_function(function, inputs, seed=0):
    """The Pair of a `torch.autograd.Function`, its backward against its own forward.

    `inputs` is a dict of its arguments in their order, tensors on any device and whatever else it takes. The parameters are
    the floating tensors that require a gradient, or all floating tensors if none does. The cost is the sum of the outputs times
    random numbers, drawn with `seed`. The reference is autograd through `forward` itself, called with a stand-in for `ctx`;
    where autograd cannot see through it (a kernel, NumPy inside), there is none. A backward that returns None says 0.
    """
    floating = {k: v for k, v in inputs.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    required = {k: v for k, v in floating.items() if v.requires_grad}
    parameters = {k: v.detach().clone() for k, v in (required or floating).items()}
    if not parameters:
        raise UserError(f"of_function({function.__name__}, ...): none of the inputs is a floating tensor")

    def outputs_of(call, p):
        # Clones, which a function that works in place may change.
        outputs = call(*(p[name].clone() if name in p else value for name, value in inputs.items()))
        return outputs if isinstance(outputs, tuple | list) else (outputs,)

    def differentiated():
        """The places of the outputs that a backward is for: not those of `mark_non_differentiable`, nor whole numbers."""
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
        return [k for k, out in enumerate(outputs_of(function.apply, leaves)) if getattr(out, "requires_grad", False)]

    def weighed(call, p):
        outputs = outputs_of(call, p)
        generator = torch.Generator().manual_seed(seed)
        total = 0
        for place in places:
            upstream = torch.randn(outputs[place].shape, generator=generator, dtype=torch.float64).to(outputs[place])
            total = total + (outputs[place] * upstream).sum()
        return total

    def forward(*arguments):
        separate = function.setup_context is not torch.autograd.Function.setup_context
        return function.forward(*arguments) if separate else function.forward(Context(), *arguments)

    def gradients(p):
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in p.items()}
        found = torch.autograd.grad(
            weighed(function.apply, leaves), list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(leaves, found, strict=True))

    def reference(p):
        return weighed(forward, p)

    try:
        places = differentiated()
    except Exception as error:
        raise UserError(f"of_function({function.__name__}, ...): its forward raised {raised(error)}") from error
    if not places:
        raise UserError(f"of_function({function.__name__}, ...): no output can be differentiated")
    pair = Pair(parameters, lambda p: weighed(function.apply, p), gradients, reference)
    return pair if differentiable(reference, parameters) else pair._replace(reference=None)


class Context:
    """Stands in for `ctx` where a forward runs without its backward: it takes what it is given and keeps nothing."""

    def __init__(self):
        self.needs_input_grad = (True,) * 64

    def ignore(self, *tensors):
        """The methods of `ctx` that a forward calls."""

    save_for_backward = save_for_forward = mark_dirty = mark_non_differentiable = set_materialize_grads = ignore


def differentiable(reference, parameters):
    """Whether autograd through `reference` reaches every parameter, and is the slope of what it differentiates.

    A forward that detaches a part of its path has another slope: it was never meant to be differentiated.
    """
    leaves = {name: tensor.detach().double().requires_grad_() for name, tensor in parameters.items()}
    generator = torch.Generator().manual_seed(0)
    try:
        found = torch.autograd.grad(reference(leaves), list(leaves.values()), allow_unused=True)
        if any(gradient is None for gradient in found):
            return False
        for (name, tensor), gradient in [*zip(leaves.items(), found, strict=True)] * 3:
            direction = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
            step = 1e-5 * (tensor.detach().abs().max().item() or 1.0) / direction.abs().max()
            ends = [leaves | {name: tensor.detach() + sign * step * direction} for sign in (-1, 1)]
            low, high = (reference(end).item() for end in ends)
            slope, claimed = (high - low) / (2 * step.item()), (gradient * direction).sum().item()
            if abs(slope - claimed) > 1e-4 * max(abs(slope), abs(claimed)) + 1e-9 * abs(high) / step.item():
                return False
    except Exception:
        return False
    return True


class Calls:
    """A pair's functions called with NumPy arrays: `parameters` are its own, in float64.

    Every call sees the random generators, and the buffers of modules, as they are when this is made, and leaves them so.
    """

    def __init__(self, pair):
        check_pair(pair)
        self.pair, self.given = pair, dict(pair.parameters)
        self.in_torch = any(isinstance(value, torch.Tensor) for value in self.given.values())
        for name, value in self.given.items():
            check_parameter(name, value, self.in_torch)
        self.parameters = {name: numpy_of(value).astype(np.float64) for name, value in self.given.items()}
        self.dtype = "float32" if any(numpy_of(value).dtype == np.float32 for value in self.given.values()) else "float64"
        self.changed_by_hand = set()
        self.states = generators() | buffers(pair.cost, pair.gradients, pair.reference)

    def kept(self):
        return {name: numpy_of(value) for name, value in self.given.items()}

    def restore(self, differ, saved):
        for name in differ:
            value = self.given[name]
            with torch.no_grad(), contextlib.suppress(ValueError, RuntimeError):  # it was given another shape, or is read-only
                value[...] = torch.as_tensor(saved[name]) if self.in_torch else saved[name]

    def cost(self, arrays):
        """The cost, a float, or complex where it returns that. Raises UserError where it raises or is no number."""
        value = self.cost_of(self.like_given(arrays))
        if not isinstance(value, torch.Tensor | np.ndarray | np.number | float | int | complex):
            raise UserError(f"cost(parameters) is a {type(value).__name__}; it has to be a single number")
        value = numpy_of(value)
        if value.shape:
            raise UserError(f"cost(parameters) has shape {value.shape}; it has to be a single number")
        return complex(value) if np.iscomplexobj(value) else float(value)

    def watched_cost(self, arrays):
        """The cost of complex arrays. Raises UserError where it takes a modulus or a conjugate."""
        if not self.in_torch:
            return self.cost({name: watched(array) for name, array in arrays.items()})
        with WatchTorch():
            return self.cost(arrays)

    def copies(self):
        return {k: v.detach().clone() if self.in_torch else np.array(v) for k, v in self.given.items()}

    def noisy_cost(self, arrays, rng):
        """The cost with each of its results rounded up or down at random, which `rng` draws."""
        if self.in_torch:
            with RoundingNoise(UNIT["float64"], torch.Generator().manual_seed(int(rng.integers(2**31)))):
                return self.cost(arrays)
        noise = Noise(UNIT["float64"], rng)
        return self.cost({name: noise.array(array) for name, array in arrays.items()})

    def changed_by_cost(self, arrays):
        """The names of those that a call of cost changes."""
        passed = self.like_given({name: array.copy() for name, array in arrays.items()})
        self.cost_of(dict(passed))
        return [name for name, array in arrays.items() if bits(passed[name]) != bits(array)]

    def cost_of(self, parameters):
        try:
            # What NumPy warns of at a point that was moved is no news for the user.
            with torch.no_grad(), np.errstate(all="ignore"):
                return self.called(self.pair.cost, parameters)
        except UserError:
            raise
        except Exception as error:
            follow = "; cost gets float64 tensors too: let its data follow, as X.to(p[name].dtype)"
            hint = follow if self.in_torch and self.dtype == "float32" else ""
            raise UserError(f"cost(parameters) raised {raised(error)}{hint}") from error

    def hand(self, arrays=None, dtype=None):
        """The gradient under test, a dict of arrays: at the parameters as they were given, or at `arrays` in `dtype`.

        It gets copies, leaves of a graph where they were: `backward()` fills their `grad`, and the next call begins anew.
        """
        at = self.copies() if arrays is None else self.like_given(arrays, dtype)
        if self.in_torch:
            at = {name: tensor.requires_grad_(self.given[name].requires_grad) for name, tensor in at.items()}
        before = {name: bits(numpy_of(value)) for name, value in at.items()}
        passed = dict(at)
        try:
            found = self.called(self.pair.gradients, at)
        finally:
            self.changed_by_hand |= {name for name in passed if bits(numpy_of(passed[name])) != before[name]}
        if not isinstance(found, dict):
            raise UserError(f"gradients(parameters) returned a {type(found).__name__}; it has to be a dict by parameter name")
        return {name: numpy_of(value) for name, value in found.items()}

    def reference(self, arrays, dtype):
        """The cost by the PyTorch reference and its gradient by autograd, in `dtype`: arrays by name."""
        leaves = {name: self.tensor(name, array, dtype).requires_grad_() for name, array in arrays.items()}
        try:
            cost = self.called(self.pair.reference, dict(leaves))
        except Exception as error:
            raise UserError(f"reference(parameters) raised {raised(error)}") from error
        if not isinstance(cost, torch.Tensor) or cost.shape != () or not cost.requires_grad:
            raise UserError("reference(parameters) has to return a scalar tensor that autograd can differentiate")
        try:
            found = torch.autograd.grad(cost, list(leaves.values()), allow_unused=True, materialize_grads=True)
        except Exception as error:
            raise UserError(f"the backward pass of reference(parameters) raised {raised(error)}") from error
        return {"cost": numpy_of(cost)} | {name: numpy_of(g) for name, g in zip(leaves, found, strict=True)}

    def like_given(self, arrays, dtype=None):
        """Arrays by name as what the pair's functions take: tensors where it was given tensors."""
        return {k: self.tensor(k, array, dtype) for k, array in arrays.items()} if self.in_torch else dict(arrays)

    def tensor(self, name, array, dtype=None):
        device = self.given[name].device if self.in_torch else "cpu"
        return torch.tensor(array, device=device, dtype=dtype and getattr(torch, dtype))

    def called(self, function, argument):
        try:
            return function(argument)
        except SystemExit as stop:
            raise RuntimeError("it exits instead of returning").with_traceback(stop.__traceback__) from stop
        finally:
            for state, put_back in self.states.values():
                put_back(state)


def buffers(*functions):
    """The buffers of the PyTorch modules that the functions reach, by name, each with its numbers and what puts them back.

    A batch norm in training mode moves its running statistics at every call.
    """
    found = {}
    for module in {id(module): module for function in functions for module in modules_of(function)}.values():
        for name, buffer in module.named_buffers():
            found[f"{name} of module {id(module)}"] = (buffer.clone(), buffer.copy_)
    return found


def modules_of(function):
    """The modules that a function is, is a method of, closes over or names."""
    if not inspect.isfunction(function):
        return [each for each in (function, getattr(function, "__self__", None)) if isinstance(each, torch.nn.Module)]
    seen = inspect.getclosurevars(function)
    return [value for value in (*seen.nonlocals.values(), *seen.globals.values()) if isinstance(value, torch.nn.Module)]


def check_pair(pair):
    """Raises UserError where something is of the wrong type."""
    if not isinstance(pair.parameters, dict):
        raise UserError(f"parameters is a {type(pair.parameters).__name__}; it has to be a dict of arrays by name")
    if not pair.parameters:
        raise UserError("parameters is empty; it has to be a dict of arrays by name")
    for name in pair.parameters:
        if not isinstance(name, str):
            raise UserError(f"parameters has the name {name!r}, a {type(name).__name__}; names have to be strings")
        if not name.isprintable():
            raise UserError(f"parameters has the name {name!r}; names have to be printable")
    for name in ("cost", "gradients", "reference"):
        function = getattr(pair, name)
        if not callable(function) and (function is not None or name != "reference"):
            raise UserError(f"{name} is a {type(function).__name__}; it has to be a function of parameters")


def check_parameter(name, value, in_torch):
    if isinstance(value, torch.Tensor) != in_torch:
        raise UserError(f"parameter {name}: all have to be arrays, or all tensors")
    if not in_torch and not isinstance(value, np.ndarray):
        raise UserError(f"parameter {name} is a {type(value).__name__}; it has to be a NumPy array or a PyTorch tensor")
    if value.dtype not in (np.float64, np.float32, torch.float64, torch.float32):
        raise UserError(f"parameter {name} has dtype {value.dtype}; it has to be float64 or float32, in native byte order")
    array = numpy_of(value)
    if not array.size:
        raise UserError(f"parameter {name} is empty: its shape is {array.shape}")
    if not np.isfinite(array).all():
        raise UserError(f"parameter {name} is not finite everywhere")


def numpy_of(value):
    """An array of the same numbers, without a copy if it can."""
    return (
        value.detach().resolve_conj().resolve_neg().numpy(force=True)
        if isinstance(value, torch.Tensor)
        else np.asanyarray(value)
    )
