"""Signs of life: which of the workers that share a study are still there.

While a worker works it counts up a number in the study, its *beat*. No clocks are compared, so that workers may run on several
machines: a worker is lost when another one has watched its beat stand still for LOST_AFTER seconds, or at once when its process
ran on the same machine and is gone.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna import Study

from lab.searching.storage import STORAGE_ERRORS

# Seconds between two beats, and after how many seconds without one a worker is lost.
BEAT, LOST_AFTER = 5.0, 60.0


@contextlib.contextmanager
def beating(study: Study, worker: str) -> Iterator[None]:
    """Inside, a thread counts up the beat of `worker` in the study."""
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(BEAT if count else 0):
            count += 1
            sign = {"beat": count, "pid": os.getpid(), "where": process_space()}
            with contextlib.suppress(*STORAGE_ERRORS):  # the storage may be away for a moment: the work goes on
                study.set_user_attr(attribute(worker), sign)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Watch:
    """What one worker has seen of the beats of the others."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int | None, float]] = {}  # by trial: the beat, and since when it has been that

    def is_lost(self, trial: int, sign: dict[str, Any] | None) -> bool:
        """Whether the worker that holds the trial of that number is lost; `sign` is its last heartbeat, None without any."""
        if sign and process_is_gone(sign):
            return True
        beat, now = sign["beat"] if sign else None, time.monotonic()
        last, since = self._last.get(trial, (None, now))
        if trial not in self._last or last != beat:
            self._last[trial] = beat, now
            return False
        return now - since > LOST_AFTER


def attribute(worker: str) -> str:
    """The name under which the study keeps the heartbeat of a worker."""
    return f"worker:{worker}"


def process_space() -> str | None:
    """What two processes must share for their process ids to be comparable: the boot of the machine and the process namespace.

    None where the system does not tell.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def process_is_gone(sign: dict[str, Any]) -> bool:
    """Whether the process that gave this heartbeat ran on this machine and has ended."""
    if not sign["where"] or sign["where"] != process_space():
        return False
    try:
        os.kill(sign["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, as another user's
        pass
    return False
