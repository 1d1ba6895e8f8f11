"""Result files: written whole or not at all."""

import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradcheck.errors import UserError

STDOUT, STDERR = 1, 2


@contextlib.contextmanager
def standard_output_to_stderr() -> Iterator[None]:
    """Inside, what anybody prints goes to stderr: Python code, code in C, and processes that are started."""
    with contextlib.redirect_stdout(sys.stderr):
        flush_all()
        try:
            kept = os.dup(STDOUT)
        except OSError:  # there is none
            yield
            return
        with contextlib.suppress(OSError):
            os.dup2(STDERR, STDOUT)
        try:
            yield
        finally:
            flush_all()
            os.dup2(kept, STDOUT)
            os.close(kept)


def flush_all() -> None:
    """Writes what Python, and the C library where it can be asked, still hold back."""
    for stream in (sys.__stdout__, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).fflush(None)


def check_writable(path: str | Path) -> None:
    """Raises UserError now where `write_json(path)` would fail later. "-" is standard output."""
    if path == "-":
        return
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a file that can be written; name another, or - for standard output")
    try:
        partial = temporary(path)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise UserError(f"{path} can't be written ({error.strerror}); name a file in a folder that can") from error


def write_json(path: str | Path, result: Any) -> None:
    """Writes `result` to the file `path`, whole or not at all, or to standard output for "-"."""
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes the file under a temporary name and renames it: a reader finds the old file or the new one, and never a part."""
    path = Path(os.path.realpath(path))
    partial = temporary(path)
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror}); make room and run again") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def make_folder(path: Path, advice: str) -> None:
    """Makes the folder, and those above it, where it is not there. Raises UserError, which ends in `advice`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {path} can't be made ({error.strerror}); {advice}") from error


def temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")
