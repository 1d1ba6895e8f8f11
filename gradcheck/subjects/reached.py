"""What a pair's functions keep outside of their arguments: the arrays, tensors and numbers that they reach.

They reach them through closures, global names, defaults, attributes of objects and of modules that are the user's own. Each has
a place, with the name that the user would write, so that one can see what a call changes, and put it back.
"""

import contextlib
import functools
import math
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.faults import LIBRARIES
from gradcheck.torch_if_there import array_of, imported_torch, is_tensor

# So many elements of a container are looked at, and arrays of so many bytes in all are copied: larger ones are data.
MOST_ELEMENTS, MOST_BYTES = 1000, 2**26

# What changes as arrays do; of dicts and lists, what they hold.
KEPT = (bool, int, float, complex, np.generic, dict, list)

GONE = object()


class Attributes:
    """The attributes of an object as items, which those of cells, classes and tensors are not by themselves."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __getitem__(self, name: str) -> Any:
        return getattr(self.owner, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self.owner, name, value)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a value stands: `owner[key]`; `name` is what the user calls it."""

    name: str
    owner: Any
    key: Any

    def value(self) -> Any:
        """What stands there now."""
        try:
            return self.owner[self.key]
        except Exception:  # an attribute may be computed by code of the user
            return GONE


class Snapshot:
    """What stands at the places, with a copy of each, as it is when this is made."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.before = {place: (value := place.value(), copied(value)) for place in places}

    def places(self) -> list[Place]:
        return list(self.before)

    def changed(self) -> list[Place]:
        """The places at which something else stands now, or the same with other numbers in it."""
        return [place for place, (value, copy) in self.before.items() if place.value() is not value or differs(value, copy)]

    def changed_arrays(self) -> list[Place]:
        """Those of them where an array or tensor stood, or stands now."""
        return [place for place in self.changed() if is_data(self.before[place][0]) or is_data(place.value())]

    def put_back(self, places: Iterable[Place]) -> None:
        """Puts back what stood at these places, as far as it can be written to."""
        for place in places:
            value, copy = self.before[place]
            with contextlib.suppress(TypeError, ValueError, RuntimeError, AttributeError):
                if place.value() is not value:
                    place.owner[place.key] = value
                write(value, copy)


def copied(value: Any) -> Any:
    """A copy; of a dict or a list, of what it holds itself."""
    if isinstance(value, np.ndarray | dict | list):
        return value.copy()
    return value.detach().clone() if is_tensor(value) else value


def differs(value: Any, copy: Any) -> bool:
    if isinstance(value, dict):
        return value.keys() != copy.keys()
    if isinstance(value, list):
        return len(value) != len(copy)
    if not is_data(value):
        return False
    now, before = (array_of(each) if is_tensor(each) else each for each in (value, copy))
    return not np.array_equal(now, before, equal_nan=now.dtype.kind in "fc")


def write(value: Any, copy: Any) -> None:
    """Writes the copy into the value that it was made of."""
    if not differs(value, copy):
        return
    if isinstance(value, dict):
        value.clear()
        value.update(copy)
    elif isinstance(value, list):
        value[:] = copy
    elif is_tensor(value):
        value.detach().copy_(copy)
    else:
        value[...] = copy


def places_reached(own: Iterable["Part"], functions: Iterable[Any]) -> list[Place]:
    """The places of `own`, and those that the functions reach; every array once."""
    walk = Walk()
    for part in own:  # however large they are
        walk.slot(*part)
    walk.room = MOST_BYTES
    for function in functions:
        walk.enter(function, "self")
    return walk.found


class Walk:
    """Goes from object to object; `found` are the places of values on the way, `room` the bytes that may still be copied."""

    def __init__(self) -> None:
        self.found: list[Place] = []
        self.seen: dict[int, Any] = {}  # they are kept, so that no other object gets their id
        self.room = math.inf
        self.waiting: list[tuple[Any, str]] = []

    def enter(self, value: Any, name: str) -> None:
        """Looks at an object, and at all that is reached from it."""
        self.waiting.append((value, name))
        while self.waiting:
            value, name = self.waiting.pop(0)
            if id(value) not in self.seen:
                self.seen[id(value)] = value
                for owner, key, part in parts_of(value, name):
                    self.slot(owner, key, part)

    def slot(self, owner: Any, key: Any, name: str) -> None:
        """Notes the place `owner[key]` where a value stands there, and else what is there to enter."""
        place = Place(name, owner, key)
        value = place.value()
        if not is_data(value):
            if value is None or isinstance(value, KEPT):
                self.found.append(place)
            self.waiting.append((value, name))
        elif id(value) not in self.seen and value.nbytes <= self.room:
            self.seen[id(value)] = value
            self.room -= value.nbytes
            self.found.append(place)
            if is_tensor(value) and value.is_leaf and value.requires_grad:
                self.slot(Attributes(value), "grad", f"{name}.grad")


def is_data(value: Any) -> bool:
    """Whether it is an array, or a tensor that has its numbers one by one."""
    if is_tensor(value):
        return str(value.layout) == "torch.strided" and value.device.type != "meta"
    return isinstance(value, np.ndarray)


# Owner, key and name of a part of an object.
Part = tuple[Any, Any, str]


def parts_of(value: Any, name: str) -> Iterator[Part]:
    """The parts of an object that may be, or hold, something that the user's code changes."""
    if isinstance(value, types.FunctionType):
        yield from parts_of_function(value)
    elif isinstance(value, types.MethodType):
        yield Attributes(value), "__self__", name
        yield Attributes(value), "__func__", name
    elif isinstance(value, functools.partial):
        yield Attributes(value), "func", name
        yield from ((Attributes(value), key, key) for key in ("args", "keywords"))
    elif isinstance(value, staticmethod | classmethod):
        yield Attributes(value), "__func__", name
    elif isinstance(value, dict):
        yield from ((value, key, f"{name}[{key!r}]") for key in list(value)[:MOST_ELEMENTS])
    elif isinstance(value, list | tuple):
        yield from ((value, place, f"{name}[{place}]") for place in range(min(len(value), MOST_ELEMENTS)))
    elif isinstance(value, type):
        if is_the_users(value.__module__):
            yield from ((Attributes(value), key, f"{name}.{key}") for key in vars(value) if not key.startswith("__"))
    elif not isinstance(value, types.ModuleType):
        yield from parts_of_object(value, name)


def parts_of_function(function: types.FunctionType) -> Iterator[Part]:
    """What a function closes over, names, and has by default; of modules that it names, what it names in them."""
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield Attributes(cell), "cell_contents", variable
    names, variables = names_in(function.__code__), function.__globals__
    for name in sorted(names & variables.keys()):
        module = variables[name]
        if not isinstance(module, types.ModuleType):
            yield variables, name, name
        elif is_the_users(module.__name__):
            yield from ((vars(module), key, f"{name}.{key}") for key in sorted(names & vars(module).keys()))
    defaults = function.__defaults__ or ()
    arguments = function.__code__.co_varnames[function.__code__.co_argcount - len(defaults) :]
    yield from ((defaults, place, arguments[place]) for place in range(len(defaults)))
    yield from ((function.__kwdefaults__, key, key) for key in function.__kwdefaults__ or ())
    yield from ((vars(function), key, f"{function.__name__}.{key}") for key in vars(function))


def parts_of_object(value: Any, name: str) -> Iterator[Part]:
    """The attributes of an object, and what its methods reach where it is of the user's own class."""
    torch = imported_torch()
    attributes = getattr(value, "__dict__", {})
    if torch and isinstance(value, torch.nn.Module):
        for part in (value.named_parameters(recurse=False), value.named_buffers(recurse=False), value.named_children()):
            yield from ((Attributes(value), key, f"{name}.{key}") for key, _ in part)
        attributes = {key: part for key, part in attributes.items() if not key.startswith("_")}
    own = is_the_users(type(value).__module__)
    if own or name == "self":
        yield from ((value.__dict__, key, f"{name}.{key}") for key in attributes)
    if own:
        yield Attributes(value), "__class__", type(value).__name__


def names_in(code: types.CodeType) -> set[str]:
    """The names that a function and those inside it use."""
    return set(code.co_names).union(*(names_in(each) for each in code.co_consts if isinstance(each, types.CodeType)))


def is_the_users(module: str) -> bool:
    """Whether the module of this name is of no library; that of a file which is run is known to nobody."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module == "__main__" or module not in sys.modules
    return not file.startswith(LIBRARIES)
