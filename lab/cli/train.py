"""train.py: verifies a gradient, trains the network, and says how it went."""

from collections.abc import Sequence

from lab.training.options import parse


def main(arguments: Sequence[str]) -> int:
    """Runs the command. Returns its exit code. Raises UserError, and Diverged."""
    given = parse(arguments)
    from lab.cli.train_session import run_session  # what it imports takes long, and wrong options do not wait for it

    return run_session(given)
