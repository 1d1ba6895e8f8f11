"""Tasks done by several processes, one thread each: on a few cores that is faster than one process with many threads."""

import multiprocessing
import os
import signal
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from errors import UserError

# Seconds between two looks at what the processes do.
PATIENCE = 0.2
# glibc gives large arrays back to the system and asks for them again at each update; kept, an update is a quarter faster.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_mine = {}


def done(tasks, processes, tell, stopped):
    """Calls each of the `tasks(tell, stopped)` and yields (task, result) as they end; ends early once `stopped()`."""
    if processes == 1:
        for task in tasks:
            if stopped():
                return
            yield task, task(tell, stopped)
        return
    context = multiprocessing.get_context("spawn")
    told, stop = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(processes, context, initialise, (told, stop))
    with surroundings(KEEP_MEMORY | dict.fromkeys(THREADS, "1")):
        try:
            with ignored(signal.SIGINT, signal.SIGTERM):
                waiting = {pool.submit(call, task): task for task in tasks}
            while waiting and not stop.is_set():
                ended, _ = wait(waiting, PATIENCE, FIRST_COMPLETED)
                drain(told, tell)
                for future in ended:
                    yield waiting.pop(future), future.result()
                if stopped():
                    stop.set()
            pool.shutdown(cancel_futures=True)
            yield from ((task, future.result()) for future, task in waiting.items() if not future.cancelled())
        except BrokenProcessPool as error:
            raise UserError("a process of ours was killed, perhaps for want of memory; --jobs 1 needs the least") from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            drain(told, lambda work: None)


def initialise(told, stop):
    torch.set_num_threads(1)
    threadpool_limits(1)
    _mine.update(tell=told.put, stopped=stop.is_set)


@contextmanager
def ignored(*numbers):
    """Processes begun inside ignore these signals: Ctrl-C goes to all, but they are told by `stop` and put their work away."""
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def call(task):
    return task(_mine["tell"], _mine["stopped"])


def drain(told, tell):
    while not told.empty():
        tell(told.get())


@contextmanager
def surroundings(variables):
    """The environment with these variables, which the processes begun inside inherit."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
