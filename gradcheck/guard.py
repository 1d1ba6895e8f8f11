"""The check may change nothing: parameters, buffers, data and random generators are bit for bit what they were."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradcheck.torch_if_there import array_of, imported_torch, is_tensor

# What sets the state of a random generator, or of a buffer.
Setter = Callable[[Any], Any]


def generators() -> dict[str, tuple[Any, Setter]]:
    """The state of every global random generator, by name, with the function that sets it."""
    found: dict[str, tuple[Any, Setter]] = {
        "Python's random generator": (random.getstate(), random.setstate),
        "NumPy's random generator": (np.random.get_state(), np.random.set_state),
    }
    return found | torch_generators()


def torch_generators() -> dict[str, tuple[Any, Setter]]:
    """As `generators`, those of PyTorch, where it is imported."""
    found: dict[str, tuple[Any, Setter]] = {}
    torch = imported_torch()
    if torch:
        found["PyTorch's random generator"] = (torch.get_rng_state(), torch.set_rng_state)
        if torch.cuda.is_initialized():
            found["CUDA's random generators"] = (torch.cuda.get_rng_state_all(), torch.cuda.set_rng_state_all)
    return found


def bits(value: Any) -> Any:
    """Something that is equal only for the same bits."""
    if isinstance(value, list | tuple):
        return [bits(part) for part in value]
    if is_tensor(value):
        value = array_of(value)
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


@contextmanager
def watch(
    arrays: Callable[[], dict[str, np.ndarray]], restore: Callable[[list[str], dict[str, np.ndarray]], None]
) -> Iterator[list[str]]:
    """Yields a list; afterwards it names what differs of all that `arrays()` returns, by name, and of the generators.

    What differs is put back, also where the code inside raises: generators here, arrays by `restore(names, saved)`, which gets
    the names of those that differ and a copy of all as they were.
    """
    changed: list[str] = []
    states = generators()
    saved = {name: array.copy() for name, array in arrays().items()}
    try:
        yield changed
    finally:
        now = arrays()
        differ = [name for name in saved if name not in now or bits(now[name]) != bits(saved[name])]
        differ += [name for name in now if name not in saved]
        if differ:
            restore(differ, saved)
        for name, (state, _) in generators().items():
            if name in states and bits(state) != bits(states[name][0]):
                differ.append(name)
                states[name][1](states[name][0])
        changed += differ
