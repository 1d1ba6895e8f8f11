"""Threads of the libraries that compute: one where many small operations would only wait for each other."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from gradcheck.torch_if_there import imported_torch


def one_blas_thread() -> AbstractContextManager:
    """Inside, BLAS computes in one thread, where threadpoolctl is installed to tell it so; without it as BLAS likes."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(1, user_api="blas")


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
