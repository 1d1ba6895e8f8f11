#!/usr/bin/env python3
"""The processor time that the help of every command takes, beside that of `import numpy`.

Run from the project's folder: python -m benchmarks.start.
"""

import os
import statistics
import subprocess
import sys

from gradcheck.report.tables import markdown

ROUNDS = 5
IMPORT = ("-c", "import numpy")
HELPS = {
    "compare.py": ("compare.py", "--help"),
    "train.py": ("train.py", "--help"),
    "search.py": ("search.py", "--help"),
    "reproduce.py": ("reproduce.py", "--help"),
    "figures.py": ("figures.py", "--help"),
    "gradcheck": ("-m", "gradcheck", "--help"),
}


def processor_time(arguments: tuple[str, ...]) -> float:
    """The seconds, user and system, that Python takes with these arguments."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"python {' '.join(arguments)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def measured() -> dict[str, list[float]]:
    """The times of each command, turn by turn: what slows the machine for a while slows all of them."""
    commands = {"import numpy": IMPORT, **HELPS}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, arguments in commands.items():
            times[name].append(processor_time(arguments))
    return times


def main() -> None:
    times = measured()
    base = statistics.median(times["import numpy"])
    rows = [("--help of", "processor time, s", f"lowest to highest of {ROUNDS}", "beyond import numpy, s")]
    for name, each in times.items():
        middle = statistics.median(each)
        rows.append((name, f"{middle:.2f}", f"{min(each):.2f} to {max(each):.2f}", f"{middle - base:.2f}"))
    print(markdown(rows))


if __name__ == "__main__":
    main()
