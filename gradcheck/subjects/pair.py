"""A pair: parameters with a cost, and the gradient that is claimed for it, in NumPy or PyTorch.

`Pair` holds the functions as they were given; `Calls` calls them with arrays, the same random numbers each time.
"""

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import OutOfTime, UserError
from gradcheck.faults import describe_error, kind_of, numbers
from gradcheck.guard import Setter, bits, generators, torch_generators
from gradcheck.rounding.draws import UNIT
from gradcheck.rounding.holomorphic import as_holomorphic
from gradcheck.rounding.numpy_noise import Noise
from gradcheck.subjects.pair_checks import a_number, check_parameter, check_types, numpy_of
from gradcheck.subjects.reached import Attributes, Place, Snapshot, places_reached
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


class FirstCalls(NamedTuple):
    """What the first calls of a pair's functions show: the cost, the claimed gradient by name, sentences on what is wrong with
    either, sentences on how they are called, and by how much the gradient differs between calls with the same parameters."""

    cost: float
    gradients: dict[str, Any]
    faults: list[str]
    notes: list[str]
    spread: dict[str, Array]


class Calls:
    """A pair's functions called with NumPy arrays: `parameters` are its own, in float64.

    Every call sees the random generators, and the buffers of modules, as they are when this is made, and leaves them so; of
    what functions reach, the places of `kept` are put back as well. `after_cost` says that cost has to be called just before
    gradients. `first` is what the first calls show, once they were made. After `deadline`, a time of `perf_counter`, a call
    raises OutOfTime; the check began at `started`. Raises UserError where something of the pair is of the wrong type.
    """

    def __init__(self, pair: Pair) -> None:
        check_types(pair)
        self.pair, self.given = pair, dict(pair.parameters)
        self.in_torch = any(map(is_tensor, self.given.values()))
        for name, value in self.given.items():
            check_parameter(name, value, self.in_torch)
        self.parameters = {name: np.array(numpy_of(value), np.float64) for name, value in self.given.items()}
        self.dtype = "float32" if any(numpy_of(value).dtype == np.float32 for value in self.given.values()) else "float64"
        self.changed_by_gradients: set[str] = set()
        self.has_reference = pair.reference is not None and torch_is_installed()
        self.torch = imported_torch()
        self.states = generators() | buffers(pair.cost, pair.gradients, pair.reference)
        self.draws = False
        self.after_cost = False
        self.kept: list[tuple[Snapshot, list[Place]]] = []
        self.first: FirstCalls | None = None
        self.started, self.deadline = time.perf_counter(), math.inf
        self.shortest: dict[int, float] = {}  # seconds of a call, by the id of the function

    def snapshot(self) -> Snapshot:
        """All that a call may change and keep: the parameters as they were given, data of layers, what functions reach."""
        own = [(self.pair.parameters, name, f"parameters[{name!r}]") for name in self.given]
        data = [(Attributes(self.pair.layers), name, f"layers.{name}") for name in ("X", "y") if self.pair.layers is not None]
        functions = (self.pair.cost, self.pair.gradients, self.pair.reference)
        return Snapshot(places_reached([*own, *data], functions))

    @contextlib.contextmanager
    def arrays_put_back(self) -> Iterator[None]:
        """Puts back afterwards all arrays and tensors that changed meanwhile: those of a module, say, that each call fills.

        What else the calls leave behind, such as how many they were, stays.
        """
        before = self.snapshot()
        try:
            yield
        finally:
            before.put_back(before.changed_arrays())

    def cost(self, arrays: dict[str, Array]) -> float | complex:
        """The cost, a float, or complex where it returns that.

        Raises UserError where it raises or is no number, and where it takes a modulus of complex arrays in a way that has no
        complex derivative.
        """
        if not any(array.dtype.kind == "c" for array in arrays.values()):
            return self.cost_of(self.like_given(arrays))
        if not self.in_torch:
            return self.cost_of({name: as_holomorphic(array) for name, array in arrays.items()})
        with self.complex_allowed():
            return self.cost_of(self.like_given(arrays))

    def complex_allowed(self) -> contextlib.AbstractContextManager:
        """Inside, PyTorch computes with complex tensors also what it does not by itself."""
        if not self.in_torch:
            return contextlib.nullcontext()
        from gradcheck.rounding.torch_holomorphic import HolomorphicMode

        return HolomorphicMode()

    def noisy_cost(self, arrays: dict[str, Array], rng: np.random.Generator) -> float | complex:
        """The cost with each of its results rounded up or down at random, which `rng` draws."""
        if not self.in_torch:
            noise = Noise(UNIT["float64"], rng)
            return self.cost_of({name: noise.array(array) for name, array in arrays.items()})
        import torch

        from gradcheck.rounding.torch_noise import RoundingNoise

        with RoundingNoise(UNIT["float64"], torch.Generator().manual_seed(int(rng.integers(2**31)))):
            return self.cost(arrays)

    def cost_of(self, parameters: dict[str, Any]) -> float | complex:
        """As `cost`, of what the function itself takes."""
        try:
            # What NumPy warns of at a point that was moved is no news for the user.
            with no_grad(), np.errstate(all="ignore"):
                value = self.called(self.pair.cost, parameters)
        except UserError:
            raise
        except Exception as error:
            follow = "; cost gets float64 tensors too: let its data follow, as X.to(p[name].dtype)"
            hint = follow if self.in_torch and self.dtype == "float32" else ""
            raise UserError(f"cost(parameters) raised {describe_error(error)}{hint}") from error
        return a_number("cost(parameters)", value)

    def claimed(self, arrays: dict[str, Array] | None = None, dtype: str | None = None) -> dict[str, Any]:
        """The claimed gradient by name: at the parameters as they were given, or at `arrays` in `dtype`.

        It gets copies, leaves of a graph where they were: `backward()` fills their `grad`, and the next call begins with none.
        Where `after_cost` is set, cost is called just before. What is returned is copied at once: the next call may change it.
        """
        at = self.copies() if arrays is None else self.like_given(arrays, dtype)
        if self.in_torch:
            at = {name: tensor.requires_grad_(self.given[name].requires_grad) for name, tensor in at.items()}
        if self.after_cost:
            self.called(self.pair.cost, dict(at))
        before, passed = {name: bits(value) for name, value in at.items()}, dict(at)
        try:
            found = self.called(self.pair.gradients, at)
        finally:
            self.changed_by_gradients |= {name for name in passed if bits(passed[name]) != before[name]}
        if not isinstance(found, dict):
            raise UserError(f"gradients(parameters) returned {kind_of(found)}; it has to be a dict by parameter name")
        return {name: value if (array := numbers(value)) is None else array.copy() for name, value in found.items()}

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
        if self.in_torch:
            return {name: self.tensor(name, array, dtype) for name, array in arrays.items()}
        return {name: np.asanyarray(array) for name, array in arrays.items()}  # what is computed from a 0-d array is none

    def tensor(self, name: str, array: Array, dtype: str | None = None) -> Any:
        """The array as a tensor on the device of the parameter of that name."""
        import torch

        device = self.given[name].device if self.in_torch else "cpu"
        return torch.tensor(array, device=device, dtype=getattr(torch, dtype) if dtype else None)

    def called(self, function: Callable[[Any], Any], argument: Any) -> Any:
        again, before = dict(argument), time.perf_counter()
        if before > self.deadline:
            raise OutOfTime
        try:
            with self.same_draws():
                value = function(argument)
        except SystemExit as stop:
            raise RuntimeError("it exits instead of returning").with_traceback(stop.__traceback__) from stop
        finally:
            self.shortest[id(function)] = min(time.perf_counter() - before, self.seconds_of(function))
            drew = self.in_torch and not self.draws and self.drew()
            for state, put_back in self.states.values():
                put_back(state)
            for snapshot, places in self.kept:
                snapshot.put_back(places)
        if imported_torch() is not self.torch:
            # The function was the first to import PyTorch. What it drew there can't be drawn again: the next call is the first.
            self.torch = imported_torch()
            self.states = generators() | self.states
        elif drew:
            self.draws = True
        else:
            return value
        return self.called(function, again)

    def seconds_of(self, function: Callable[[Any], Any]) -> float:
        """What the quickest call of a function of the pair took: the first may import and compile."""
        return self.shortest.get(id(function), math.inf)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Inside, calls have to come within so many seconds, and before the deadline."""
        before = self.deadline
        self.deadline = min(before, time.perf_counter() + seconds)
        try:
            yield
        finally:
            self.deadline = before

    def drew(self) -> bool:
        """Whether PyTorch's generators are no longer as they were."""
        return any(bits(state) != bits(self.states[name][0]) for name, (state, _) in torch_generators().items())

    def same_draws(self) -> contextlib.AbstractContextManager:
        """Inside, PyTorch draws the same numbers in any dtype."""
        if not self.draws:
            return contextlib.nullcontext()
        from gradcheck.subjects.torch_draws import SameDraws

        return SameDraws(self.dtype)


def is_the_callers(place: Place) -> bool:
    """Whether a place holds a parameter as it was given, or data of layers, which are to be read and nothing else."""
    return place.name.startswith(("parameters[", "layers.")) and not place.name.endswith(".grad")


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
