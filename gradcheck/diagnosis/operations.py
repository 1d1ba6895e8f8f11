"""The operations of a cost, one after another, with the derivative that flows through each; one of them can be changed.

A complex step carries the derivative in the imaginary part. Where an operation is run with another derivative, as a wrong
backward pass would have it there, the cost's imaginary part is the gradient that this bug would give.
"""

import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from gradcheck.rounding.continuation import continued_function, continued_ufunc
from gradcheck.rounding.numpy_noise import plain, rebuilt, with_plain_arrays
from gradcheck.torch_if_there import imported_torch, is_tensor

# An instruction in the user's code: the code and the offset in it.
Place = tuple[CodeType, int]


class Site(NamedTuple):
    """A place in the user's code where an operation of this name runs: its instruction, and, if given, the one that called the
    function around it."""

    operation: str
    places: tuple[Place, ...]


class Call(NamedTuple):
    """One run of an operation: `function(*arguments, **keywords)`, all of whose arrays are plain."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def result(self) -> Any:
        return self.function(*self.arguments, **self.keywords)

    def carriers(self) -> list[int]:
        """The places, among all arguments one after another, of the arrays that a derivative flows through."""
        return [place for place, value in enumerate(flat(self.arguments)) if carries(value)]

    def at(self, place: int) -> Any:
        """The argument at this place."""
        return [*flat(self.arguments)][place]

    def replacing(self, place: int, other: Any) -> "Call":
        """The same with another argument at this place."""
        places = iter(range(sys.maxsize))

        def replaced(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return type(value)([replaced(part) for part in value])
            return other if next(places) == place else value

        return self._replace(arguments=tuple(replaced(value) for value in self.arguments))

    def without(self, place: int) -> "Call":
        """The same with no derivative flowing through the argument at this place."""
        value = self.at(place)
        return self.replacing(place, with_derivative(value, 0 * value.imag))


# What takes the place of a run of an operation.
Change = Callable[[Call], Any]


class Fit(NamedTuple):
    """What takes the place of an operation with a number in it that the claimed gradient shows.

    The derivative of `change(call, number)` is affine in the number. `words(number)` are None where that means nothing.
    """

    change: Callable[[Call, float], Any]
    words: Callable[[float], str | None]


# A mistake in an operation: its words, and what runs in its place. A Fit has words of its own, and these follow them.
Slip = tuple[str, Change | Fit]


class Seen(NamedTuple):
    """What was seen at a site: how often it ran, its first and its last run, and the names that the user's module knows."""

    runs: int
    first: Call
    last: Call
    names: dict[str, Any]


class Run:
    """One evaluation of a cost. At the site `changed`, its runs (numbered from 0) that are in `which` do `change` instead.

    `seen` is what it came by, by site, in the order of the first run.
    """

    def __init__(self, changed: Site | None = None, change: Change = Call.result, which: range = range(0)) -> None:
        self.changed, self.change, self.which = changed, change, which
        self.counts: Counter[Site] = Counter()
        self.seen: dict[Site, Seen] = {}
        libraries = (np, sys.modules["gradcheck"], *([torch] if (torch := imported_torch()) else []))
        self.foreign = ("<__array_function__", *(str(Path(str(module.__file__)).parent) for module in libraries))

    def array(self, value: Any) -> Any:
        """The same, with its complex arrays as Carriers of this run."""
        if isinstance(value, list | tuple):
            return rebuilt(value, [*map(self.array, value)])
        if isinstance(value, np.ndarray | np.generic) and np.iscomplexobj(value):
            carrier = np.asarray(value).view(Carrier)
            carrier.run = self
            return carrier
        return value

    def operation(self, name: str, call: Call) -> Any:
        """What the operation returns, changed where it is to be."""
        frames = list(self.users_frames()) if call.carriers() else []
        for depth in range(1, len(frames) + 1):
            site = Site(name, tuple((frame.f_code, frame.f_lasti) for frame in frames[:depth]))
            run = self.counts[site]
            self.counts[site] += 1
            self.seen[site] = Seen(run + 1, self.seen[site].first if run else call, call, frames[0].f_globals)
            if site == self.changed and run in self.which:
                return self.change(call)
        return call.result()

    def users_frames(self) -> Iterator[FrameType]:
        """The innermost frame of the user's code, and the one that called it."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith(self.foreign):
            frame = frame.f_back
        if frame is not None:
            yield frame
            if frame.f_back is not None and not frame.f_back.f_code.co_filename.startswith(self.foreign):
                yield frame.f_back


class Carrier(np.ndarray):
    """A complex array that hands each operation on it to its `run`, and so do all that are computed from it."""

    run: Any  # None in an array that NumPy has just made

    def __array_finalize__(self, parent: Any) -> None:
        self.run = getattr(parent, "run", None)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] | None = None, **keywords: Any
    ) -> Any:
        run = next(value.run for value in (*inputs, *(out or ())) if isinstance(value, Carrier))
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        call = Call(continued_ufunc(ufunc, method), with_plain_arrays(inputs), with_plain_arrays(keywords))
        result = run.array(run.operation(name, call))
        if out is None:
            return result
        for array, value in zip(out, result if len(out) > 1 else (result,), strict=True):
            plain(array)[...] = plain(value)
        return out if len(out) > 1 else out[0]

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        call = Call(continued_function(function), with_plain_arrays(arguments), with_plain_arrays(keywords))
        return self.run.array(self.run.operation(function.__name__, call))

    def __getitem__(self, index: Any) -> Any:
        call = Call(operator.getitem, (plain(self), with_plain_arrays(index)), {})
        return self.run.array(self.run.operation("getitem", call))

    def take(self, *arguments: Any, **keywords: Any) -> Any:
        return np.take(self, *arguments, **keywords)


def flat(value: Any) -> Iterator[Any]:
    """What is in lists and tuples, one after another."""
    for part in value:
        if isinstance(part, list | tuple):
            yield from flat(part)
        else:
            yield part


def carries(value: Any) -> bool:
    """Whether a derivative flows through it."""
    if is_tensor(value):
        return bool(value.is_complex() and value.imag.any())
    return isinstance(value, np.ndarray | np.generic) and np.iscomplexobj(value) and bool(np.any(np.imag(value)))


def with_derivative(value: Any, derivative: Any) -> Any:
    """A copy of an array or tensor through which another derivative flows, of the same shape."""
    changed = value.clone() if is_tensor(value) else np.array(value)
    changed.imag[...] = derivative
    return changed
