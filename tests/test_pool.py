"""The processes that do the tasks of a reproduction: what they report, and how they end."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradcheck.errors import UserError
from lab.reports.pool import run_tasks

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Task:
    """What the tasks here share. Instead of outcomes they return strings."""

    name: str
    work = 1.0
    device = "cpu"

    def __call__(self, worker):
        worker.advance(self.work)
        return [f"{self.name} in {os.getpid()}"]


class Meeting(Task):
    """Ends when another process does the task of the other name."""

    def __call__(self, worker):
        folder, name = Path(self.name).parent, Path(self.name).name
        Path(self.name).touch()
        wait_until((folder / {"a": "b", "b": "a"}[name]).exists)
        return [str(os.getpid())]


class Failing(Task):
    def __call__(self, worker):
        raise UserError(f"{self.name} fails")


class OutOfMemory(Task):
    def __call__(self, worker):
        raise MemoryError


class Killed(Task):
    def __call__(self, worker):
        os.kill(os.getpid(), signal.SIGKILL)


class Waiting(Task):
    """Begins the file that is its name, works until it is stopped, and adds a line then."""

    def __call__(self, worker):
        path = Path(self.name)
        path.write_text(f"{os.getpid()}\n")
        while not worker.stopped():
            time.sleep(0.01)
            worker.advance(0.0)
        worker.advance(0.0)
        path.write_text(path.read_text() + "stopped\n")


def outcomes_of(tasks, processes=2, stopped=lambda: False):
    """The outcomes of tasks by name, and the work that they reported."""
    reported = []
    outcomes = {task.name: outcomes for task, outcomes in run_tasks(tasks, processes, reported.append, stopped)}
    return outcomes, sum(reported)


def test_two_processes_share_the_tasks():
    outcomes, reported = outcomes_of([Task(str(k)) for k in range(8)])
    assert outcomes.keys() == {str(k) for k in range(8)}
    assert reported == 8
    processes = {outcome.split()[-1] for (outcome,) in outcomes.values()}
    assert len(processes) <= 2
    assert str(os.getpid()) not in processes


def test_two_processes_work_at_the_same_time(tmp_path):
    outcomes, _ = outcomes_of([Meeting(str(tmp_path / name)) for name in ("a", "b")])
    assert len({pid for (pid,) in outcomes.values()}) == 2


def test_one_process_is_this_one():
    outcomes, reported = outcomes_of([Task("a"), Task("b")], processes=1)
    assert outcomes == {name: [f"{name} in {os.getpid()}"] for name in ("a", "b")}
    assert reported == 2


def test_an_error_stops_the_other_tasks(tmp_path):
    with pytest.raises(UserError, match="a fails") as raised:
        outcomes_of([Waiting(str(tmp_path / "waiting")), Failing("a"), *(Task(str(k)) for k in range(8))])
    assert "Traceback" in raised.value.__notes__[0]
    assert (tmp_path / "waiting").read_text().endswith("stopped\n")


@pytest.mark.parametrize(("kind", "message"), [(Killed, "a worker process was killed"), (OutOfMemory, "out of memory")])
def test_want_of_memory_is_told_in_a_line(kind, message):
    with pytest.raises(UserError, match=f"^{message}.*--jobs 1 uses the least"):
        outcomes_of([kind("a")])


def test_a_stop_reaches_the_processes(tmp_path):
    tasks = [Waiting(str(tmp_path / name)) for name in ("a", "b", "c")]
    outcomes, _ = outcomes_of(tasks, stopped=lambda: len(list(tmp_path.iterdir())) == 2)
    assert outcomes == {str(path): None for path in tmp_path.iterdir()}
    assert len(outcomes) == 2
    assert all(path.read_text().endswith("stopped\n") for path in tmp_path.iterdir())


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """They are stopped, so that their work is put away, and end."""
    tasks = f"[test_pool.Waiting('{tmp_path}/a'), test_pool.Waiting('{tmp_path}/b')]"
    program = f"import test_pool; test_pool.outcomes_of({tasks})"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as process:
        wait_until(lambda: [bool(path.read_text()) for path in tmp_path.iterdir()] == [True, True])
        process.kill()
    wait_until(lambda: all(path.read_text().endswith("stopped\n") for path in tmp_path.iterdir()))
    for path in tmp_path.iterdir():
        wait_until(lambda path=path: not is_alive(int(path.read_text().split()[0])))


def wait_until(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_alive(pid):
    """Whether a process is there that is not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
