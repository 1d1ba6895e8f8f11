"""Threads: on every core for large pieces, one where many small operations would only wait for each other."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np

from gradcheck.torch_if_there import imported_torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def one_blas_thread() -> AbstractContextManager:
    """Inside, BLAS computes in one thread, where threadpoolctl is installed; where it is not, in as many as BLAS chooses."""
    limits = blas_threads(with_torch=imported_torch() is not None)
    return limits.limit(limits=1, user_api="blas") if limits else contextlib.nullcontext()


@cache
def blas_threads(with_torch: bool) -> Any:
    """What sets the threads of the BLAS libraries that are loaded, or None. To find them takes long; PyTorch brings more."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, BLAS and PyTorch, where it is imported, compute in one thread."""
    torch = imported_torch()
    threads = torch.get_num_threads() if torch else 1
    with one_blas_thread():
        if threads > 1:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if threads > 1:
                torch.set_num_threads(threads)


def in_threads(function: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """`function(piece)` for all pieces, in order, on every core; meanwhile BLAS gets one thread in each."""
    keep_freed_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    remaining = iter(pieces)
    ahead = list(islice(remaining, 2))
    if len(ahead) < 2:  # a pool of threads would cost more than a small network takes
        with one_blas_thread():
            yield from map(function, ahead)
        return
    with one_blas_thread(), ThreadPoolExecutor(cores) as pool:
        # A few pieces ahead of the reader: of large networks there are hundreds of thousands.
        waiting: deque[Future[Result]] = deque()
        for piece in chain(ahead, remaining):
            if len(waiting) == 2 * cores:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, piece))
        while waiting:
            yield waiting.popleft().result()


def keep_freed_memory() -> None:
    """Frees one large block, so that the C library keeps the many temporaries to come instead of returning their pages.

    glibc returns freed memory to the kernel above a threshold that rises to the largest block freed so far, 32 MiB at
    most. Without this, every temporary of a piece faults its pages in again, and the complex step takes twice as long.
    """
    np.empty(31 << 20, np.uint8)
