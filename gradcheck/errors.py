"""Errors that a command reports in one line, without a traceback."""


class ReportedError(Exception):
    """Ends a command: the message is one line, what is wrong, where, what to do; `exit_code` is that of the command."""

    exit_code = 1


class UserError(ReportedError, ValueError):
    """A wrong argument or input."""

    exit_code = 2


def one_line(error: BaseException) -> str:
    """What an exception says, on one line; its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
