"""search.py: reads the options, and only then loads what it works with."""

import shlex
import sys

from lab.searching.options import parse


def main(arguments: list[str]) -> int:
    """The command. Returns its exit code."""
    options = parse(arguments)
    # PyTorch, Optuna and matplotlib take seconds to import: --help and wrong options do without them.
    from lab.cli.search_session import run_search

    return run_search(options, shlex.join(["python", *sys.argv[:1], *arguments]))
