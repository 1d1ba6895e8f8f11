"""What every command shares: its parser, argument types, exit codes, a progress bar, and errors in one line."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from gradcheck.errors import ReportedError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

# What a command says with its exit code; 2 is that it could not run.
EXIT_CODES = {"pass": 0, "fail": 1, "undecided": 3}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr, with exit code 2."""

    def __init__(self, description: str, examples: str, prog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")
        raise AssertionError("exit does not return")


def positive(text: str) -> float:
    """An argparse type: a number over 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number over 0")
    return number


def whole_number(smallest: int, largest: int = 2**32 - 1) -> Callable[[str], int]:
    """An argparse type: an integer from `smallest` to `largest`, by default the largest seed of NumPy's RandomState."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if not smallest <= number <= largest:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer from {smallest} to {largest}")
        return number

    return parse


def progress_bar(*columns: "str | ProgressColumn") -> "Progress":
    """On stderr, so that standard output holds the result alone; gone when the work is done. `columns` precede the time."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    shown = TextColumn("{task.description}"), BarColumn(), *columns, TimeRemainingColumn()
    return Progress(*shown, console=console, transient=True, disable=not console.is_terminal)


def run(main: Callable[[list[str]], int], program: str | None = None) -> NoReturn:
    """Calls `main(arguments) -> exit code` as a command: errors of the user in one line, Ctrl-C without a traceback.

    `program` is its name in those lines, by default that of the file that runs.
    """
    program = program or os.path.basename(sys.argv[0])
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except ReportedError as error:
        print(f"{program}: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        code = 130
    except MemoryError:
        print(f"{program}: out of memory; give it a smaller problem", file=sys.stderr)
        code = 2
    except OSError as error:
        # Nobody reads standard output any more (`| head`), or it is full. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141 if isinstance(error, BrokenPipeError) else 2
        if code == 2:
            print(f"{program}: the result could not be written or the data not read: {error}", file=sys.stderr)
    except Exception:
        # A fault of ours. Its exit code must not be 1, which says that a gradient is wrong.
        traceback.print_exc()
        code = 2
    sys.exit(code)
