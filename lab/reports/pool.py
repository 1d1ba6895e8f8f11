"""Tasks done by several processes, one thread each: on a few cores that is faster than one process with many threads."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from gradcheck.errors import UserError

# Seconds between two looks at what the processes do.
PATIENCE = 0.2
# glibc gives large arrays back to the system and asks for them again at each update; kept, an update is a quarter faster.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_mine = {}


def done(tasks, processes, tell, stopped):
    """Calls each of the `tasks(tell, stopped)` and yields (task, result) as they end; ends early once `stopped()`.

    Where a task raises, the others stop too; what has ended is yielded first.
    """
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
            errors = []
            while waiting and not stop.is_set():
                ended, _ = wait(waiting, PATIENCE, FIRST_COMPLETED)
                drain(told, tell)
                yield from ((waiting.pop(future), future.result()) for future in succeeded(ended, errors))
                if stopped() or errors:
                    stop.set()
            pool.shutdown(cancel_futures=True)
            yield from ((waiting[future], future.result()) for future in succeeded(waiting, errors))
            if errors:
                raise errors[0]
        except BrokenProcessPool as error:
            raise UserError("a process of ours was killed, perhaps for want of memory; --jobs 1 needs the least") from error
        except MemoryError as error:
            raise UserError("out of memory; --jobs 1 needs the least") from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            drain(told, lambda work: None)


def succeeded(futures, errors):
    """Those that ended with a result; the exceptions of the others come into `errors`."""
    for future in list(futures):
        if not future.cancelled() and future.exception():
            errors.append(future.exception())
        elif not future.cancelled():
            yield future


def initialise(told, stop):
    """What a process does before its first task: one thread, and an end when whoever began it is gone."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    _mine.update(tell=told.put, stopped=stop.is_set)
    threading.Thread(target=end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def end_with(parent):
    parent.join()
    os._exit(1)


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
