"""A pair: parameters with a cost, and the gradient that is claimed for it, in NumPy or PyTorch.

`Pair` holds the functions as they were given; `Calls` calls them with arrays, the same random numbers each time.
"""

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import UserError
from gradcheck.faults import describe_error
from gradcheck.guard import Setter, bits, generators
from gradcheck.rounding.draws import UNIT
from gradcheck.rounding.holomorphic import holomorphic_only
from gradcheck.rounding.numpy_noise import Noise
from gradcheck.torch_if_there import imported_torch, is_tensor, torch_is_installed


class Pair(NamedTuple):
    """What a pair file defines, and what `check` takes.

    `parameters` maps names to arrays or tensors of float64 or float32, of any shape. `cost(parameters)` returns a scalar,
    `gradients(parameters)` a dict of the same names and shapes. Both get a dict like `parameters`; `cost` also gets float64
    and, where it takes them, complex128 arrays. `reference(parameters)` is optional: the same cost in PyTorch, from a dict of
    float64 tensors to a scalar that autograd differentiates. `layers`, a `Layers`, is optional.

    Example:
        >>> import numpy as np
        >>> pair = Pair({"w": np.ones(3)}, lambda p: (p["w"] ** 2).sum(), lambda p: {"w": 2 * p["w"]})
        >>> check(*pair).verdict
        'pass'
    """

    parameters: dict[str, Any]
    cost: Callable[[Any], Any]
    gradients: Callable[[Any], Any]
    reference: Callable[[Any], Any] | None = None
    layers: Any = None


class Calls:
    """A pair's functions called with NumPy arrays: `parameters` are its own, in float64.

    Every call sees the random generators, and the buffers of modules, as they are when this is made, and leaves them so.
    Raises UserError where something of the pair is of the wrong type.
    """

    def __init__(self, pair: Pair) -> None:
        check_types(pair)
        self.pair, self.given = pair, dict(pair.parameters)
        self.in_torch = any(map(is_tensor, self.given.values()))
        for name, value in self.given.items():
            check_parameter(name, value, self.in_torch)
        self.parameters = {name: numpy_of(value).astype(np.float64) for name, value in self.given.items()}
        self.dtype = "float32" if any(numpy_of(value).dtype == np.float32 for value in self.given.values()) else "float64"
        self.changed_by_gradients: set[str] = set()
        self.has_reference = pair.reference is not None and torch_is_installed()
        self.torch = imported_torch()
        self.states = generators() | buffers(pair.cost, pair.gradients, pair.reference)

    def guarded(self) -> dict[str, Array]:
        """The arrays that a check may not change: the parameters, and the data of layers."""
        data = {name: getattr(self.pair.layers, name, None) for name in ("X", "y")}
        own = {name: value for name, value in data.items() if isinstance(value, np.ndarray)}
        return own | {name: numpy_of(value) for name, value in self.given.items()}

    def restore(self, differ: list[str], saved: dict[str, Array]) -> None:
        """Puts back the guarded arrays named in `differ`; `saved` holds all of them as they were."""
        for name in differ:
            value: Any = self.given.get(name, getattr(self.pair.layers, name, None))
            with contextlib.suppress(ValueError, RuntimeError):  # it was given another shape, or is read-only
                if is_tensor(value):
                    value.detach()[...] = value.new_tensor(saved[name])
                else:
                    value[...] = saved[name]

    def cost(self, arrays: dict[str, Array]) -> float | complex:
        """The cost, a float, or complex where it returns that. Raises UserError where it raises or is no number."""
        value = self.cost_of(self.like_given(arrays))
        if not is_tensor(value) and not isinstance(value, np.ndarray | np.number | float | int | complex):
            raise UserError(f"cost(parameters) is a {type(value).__name__}; it has to be a single number")
        value = numpy_of(value)
        if value.shape:
            raise UserError(f"cost(parameters) has shape {value.shape}; it has to be a single number")
        return complex(value) if np.iscomplexobj(value) else float(value)

    def watched_cost(self, arrays: dict[str, Array]) -> float | complex:
        """The cost of complex arrays. Raises UserError where it takes a modulus or a conjugate."""
        if not self.in_torch:
            return self.cost({name: holomorphic_only(array) for name, array in arrays.items()})
        from gradcheck.rounding.torch_holomorphic import HolomorphicMode

        with HolomorphicMode():
            return self.cost(arrays)

    def noisy_cost(self, arrays: dict[str, Array], rng: np.random.Generator) -> float | complex:
        """The cost with each of its results rounded up or down at random, which `rng` draws."""
        if not self.in_torch:
            noise = Noise(UNIT["float64"], rng)
            return self.cost({name: noise.array(array) for name, array in arrays.items()})
        import torch

        from gradcheck.rounding.torch_noise import RoundingNoise

        with RoundingNoise(UNIT["float64"], torch.Generator().manual_seed(int(rng.integers(2**31)))):
            return self.cost(arrays)

    def changed_by_cost(self, arrays: dict[str, Array]) -> list[str]:
        """The names of those that a call of cost changes."""
        passed = self.like_given({name: array.copy() for name, array in arrays.items()})
        self.cost_of(dict(passed))
        return [name for name, array in arrays.items() if bits(passed[name]) != bits(array)]

    def cost_of(self, parameters: dict[str, Any]) -> Any:
        try:
            # What NumPy warns of at a point that was moved is no news for the user.
            with no_grad(), np.errstate(all="ignore"):
                return self.called(self.pair.cost, parameters)
        except UserError:
            raise
        except Exception as error:
            follow = "; cost gets float64 tensors too: let its data follow, as X.to(p[name].dtype)"
            hint = follow if self.in_torch and self.dtype == "float32" else ""
            raise UserError(f"cost(parameters) raised {describe_error(error)}{hint}") from error

    def claimed(self, arrays: dict[str, Array] | None = None, dtype: str | None = None) -> dict[str, Array]:
        """The claimed gradient by name: at the parameters as they were given, or at `arrays` in `dtype`.

        It gets copies, leaves of a graph where they were: `backward()` fills their `grad`, and the next call begins with none.
        """
        at = self.copies() if arrays is None else self.like_given(arrays, dtype)
        if self.in_torch:
            at = {name: tensor.requires_grad_(self.given[name].requires_grad) for name, tensor in at.items()}
        before = {name: bits(numpy_of(value)) for name, value in at.items()}
        passed = dict(at)
        try:
            found = self.called(self.pair.gradients, at)
        finally:
            self.changed_by_gradients |= {name for name in passed if bits(numpy_of(passed[name])) != before[name]}
        if not isinstance(found, dict):
            raise UserError(f"gradients(parameters) returned a {type(found).__name__}; it has to be a dict by parameter name")
        return {name: numpy_of(value) for name, value in found.items()}

    def reference(self, arrays: dict[str, Array], dtype: str) -> dict[str, Array]:
        """The cost by the PyTorch reference and its gradient by autograd, in `dtype`: arrays by name."""
        import torch

        assert self.pair.reference is not None
        leaves = {name: self.tensor(name, array, dtype).requires_grad_() for name, array in arrays.items()}
        try:
            cost = self.called(self.pair.reference, dict(leaves))
        except Exception as error:
            raise UserError(f"reference(parameters) raised {describe_error(error)}") from error
        if not is_tensor(cost) or cost.shape != () or not cost.requires_grad:
            raise UserError("reference(parameters) has to return a scalar tensor that autograd can differentiate")
        try:
            found = torch.autograd.grad(cost, list(leaves.values()), allow_unused=True, materialize_grads=True)
        except Exception as error:
            raise UserError(f"the backward pass of reference(parameters) raised {describe_error(error)}") from error
        return {"cost": numpy_of(cost)} | {name: numpy_of(g) for name, g in zip(leaves, found, strict=True)}

    def copies(self) -> dict[str, Any]:
        return {k: v.detach().clone() if self.in_torch else np.array(v) for k, v in self.given.items()}

    def like_given(self, arrays: dict[str, Array], dtype: str | None = None) -> dict[str, Any]:
        """Arrays by name as what the pair's functions take: tensors where it was given tensors."""
        return {k: self.tensor(k, array, dtype) for k, array in arrays.items()} if self.in_torch else dict(arrays)

    def tensor(self, name: str, array: Array, dtype: str | None = None) -> Any:
        """The array as a tensor on the device of the parameter of that name."""
        import torch

        device = self.given[name].device if self.in_torch else "cpu"
        return torch.tensor(array, device=device, dtype=getattr(torch, dtype) if dtype else None)

    def called(self, function: Callable[[Any], Any], argument: Any) -> Any:
        try:
            value = function(argument)
        except SystemExit as stop:
            raise RuntimeError("it exits instead of returning").with_traceback(stop.__traceback__) from stop
        finally:
            for state, put_back in self.states.values():
                put_back(state)
        if imported_torch() is self.torch:
            return value
        # The function was the first to import PyTorch. What it drew there can't be drawn again: the next call is the first.
        self.torch = imported_torch()
        self.states = generators() | self.states
        return self.called(function, argument)


def no_grad() -> contextlib.AbstractContextManager:
    """Inside, PyTorch, where it is imported, builds no graph."""
    torch = imported_torch()
    return torch.no_grad() if torch else contextlib.nullcontext()


def buffers(*functions: Any) -> dict[str, tuple[Any, Setter]]:
    """The buffers of the PyTorch modules that the functions reach, by name, each with its numbers and what puts them back.

    A batch norm in training mode moves its running statistics at every call.
    """
    found = {}
    for module in {id(module): module for function in functions for module in modules_of(function)}.values():
        for name, buffer in module.named_buffers():
            found[f"{name} of module {id(module)}"] = (buffer.clone(), buffer.copy_)
    return found


def modules_of(function: Any) -> list[Any]:
    """The modules that a function is, is a method of, closes over or names."""
    torch = imported_torch()
    if not torch:
        return []
    if not inspect.isfunction(function):
        reached: tuple = (function, getattr(function, "__self__", None))
    else:
        variables = inspect.getclosurevars(function)
        reached = (*variables.nonlocals.values(), *variables.globals.values())
    return [value for value in reached if isinstance(value, torch.nn.Module)]


def check_types(pair: Pair) -> None:
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


def check_parameter(name: str, value: Any, in_torch: bool) -> None:
    """Raises UserError where a parameter is no array or tensor of finite float64 or float32 numbers."""
    if is_tensor(value) != in_torch:
        raise UserError(f"parameter {name}: all have to be arrays, or all tensors")
    if not in_torch and not isinstance(value, np.ndarray):
        raise UserError(f"parameter {name} is a {type(value).__name__}; it has to be a NumPy array or a PyTorch tensor")
    if str(value.dtype).removeprefix("torch.") not in ("float64", "float32"):
        raise UserError(f"parameter {name} has dtype {value.dtype}; it has to be float64 or float32, in native byte order")
    array = numpy_of(value)
    if not array.size:
        raise UserError(f"parameter {name} is empty: its shape is {array.shape}")
    if not np.isfinite(array).all():
        raise UserError(f"parameter {name} is not finite everywhere")


def numpy_of(value: Any) -> Array:
    """An array of the same numbers, without a copy if it can."""
    return value.detach().resolve_conj().resolve_neg().numpy(force=True) if is_tensor(value) else np.asanyarray(value)
