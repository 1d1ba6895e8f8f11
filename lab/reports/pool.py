"""Tasks done by several processes, one thread each: on a few cores that is faster than one process with many threads.

Each process has a pipe to this one. It receives a task when it has none, sends back how far it is and at last the outcomes,
and ends when it receives None. Whatever arrives during a task stops it: None, or the end of the pipe when this process is
gone.
"""

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from gradcheck.errors import UserError
from lab.reports.result_forms import TaskOutcome
from lab.reports.task import Task, Worker

# Seconds between two looks at whether the user has stopped the work.
PATIENCE = 0.2
# glibc gives large arrays back to the system and asks for them again at each update; kept, an update is a quarter faster.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Done = tuple[Task, list[TaskOutcome] | None]


class End(NamedTuple):
    """How a task ended in another process: with outcomes, with None where it was stopped, or with an exception."""

    outcomes: list[TaskOutcome] | None = None
    error: Exception | None = None


def run_tasks(
    tasks: Sequence[Task], processes: int, advance: Callable[[float], None], stopped: Callable[[], bool]
) -> Iterator[Done]:
    """Does the tasks, and yields (task, its outcomes) as they end; ends early once `stopped()`.

    `advance(units)` is called as the work goes on. Where a task raises an exception, the others stop, what has ended is
    yielded, and the exception is raised. Raises UserError where a process was killed or memory ran out.
    """
    if processes == 1:
        worker = Worker(advance, stopped)
        for task in tasks:
            if stopped():
                return
            yield task, task(worker)
        return
    with worker_processes(processes) as workers:
        try:
            yield from dispatch(tasks, workers, advance, stopped)
        except MemoryError as error:
            raise UserError("out of memory; --jobs 1 uses the least") from error


class WorkerProcess:
    """Another process that does one task after another, seen from here."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other_end = context.Pipe()
        self.process = context.Process(target=serve_tasks, args=(other_end,))
        self.process.start()
        other_end.close()  # now only the process holds it, so that its death ends the pipe

    def send(self, task: Task | None) -> None:
        """Sends a task, or None: the process stops what it does, and ends."""
        with contextlib.suppress(ConnectionError):  # it was killed; `receive` says so
            self.connection.send(task)

    def receive(self) -> float | End:
        """The next message: units of work that are done, or the end of a task. Raises UserError where the process is dead."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionError) as error:
            message = "a worker process was killed, perhaps because memory ran out; --jobs 1 uses the least"
            raise UserError(message) from error

    def close(self) -> None:
        """Waits until the process has ended: the end of its pipe stops it."""
        self.connection.close()
        self.process.join()


def dispatch(
    tasks: Sequence[Task], workers: Sequence[WorkerProcess], advance: Callable[[float], None], stopped: Callable[[], bool]
) -> Iterator[Done]:
    """Gives each worker a task whenever it has none: see `run_tasks`."""
    waiting, idle, stopping = deque(tasks), list(workers), False
    running: dict[Connection, tuple[WorkerProcess, Task]] = {}
    errors: list[Exception] = []
    while running or (waiting and not stopping):
        while idle and waiting and not stopping:
            worker, task = idle.pop(), waiting.popleft()
            worker.send(task)
            running[worker.connection] = worker, task
        ready = wait(list(running), PATIENCE)
        for connection, (worker, task) in list(running.items()):
            if connection not in ready:
                continue
            message = worker.receive()
            if not isinstance(message, End):
                advance(message)
                continue
            del running[connection]
            idle.append(worker)
            if message.error is None:
                yield task, message.outcomes
            else:
                errors.append(message.error)
        if not stopping and (errors or stopped()):
            stopping = True
            for worker in workers:
                worker.send(None)
    if errors:
        raise errors[0]


def serve_tasks(connection: Connection) -> None:
    """What a worker process does, until it receives None or the process that started it is gone."""

    def advance(units: float) -> None:
        with contextlib.suppress(ConnectionError):  # nobody is there to be told; `stopped` is true, and the work is put away
            connection.send(units)

    worker = Worker(advance, stopped=connection.poll)
    with contextlib.suppress(EOFError, ConnectionError):
        while (task := connection.recv()) is not None:
            connection.send(end_of(task, worker))


def end_of(task: Task, worker: Worker) -> End:
    """Does a task. Its exception takes the traceback along, which is lost on the way otherwise."""
    try:
        return End(outcomes=task(worker))
    except Exception as error:
        error.add_note(traceback.format_exc())
        return End(error=error)


@contextmanager
def worker_processes(count: int) -> Iterator[list[WorkerProcess]]:
    """That many processes with one thread each; at the end they stop what they do, and are waited for."""
    workers: list[WorkerProcess] = []
    try:
        # Ctrl-C reaches all processes, but only this one acts on it: it stops the others, and they put their work away.
        with environment_variables(KEEP_MEMORY | ONE_THREAD), ignored_signals(signal.SIGINT, signal.SIGTERM):
            for _ in range(count):
                workers.append(WorkerProcess())
        yield workers
    finally:
        for worker in workers:
            worker.send(None)
        for worker in workers:
            worker.close()


@contextmanager
def ignored_signals(*numbers: signal.Signals) -> Iterator[None]:
    """Inside, this process and those that it starts ignore these signals; those go on ignoring them."""
    handlers = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


@contextmanager
def environment_variables(variables: dict[str, str]) -> Iterator[None]:
    """Inside, the environment has these variables, which processes inherit that are started there."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name)
        os.environ.update(before)
