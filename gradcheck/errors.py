"""Errors that a command reports in one line, without a traceback."""


class ReportedError(Exception):
    """Ends a command: the message is one line, what is wrong, where, what to do; `exit_code` is that of the command."""

    exit_code = 1


class UserError(ReportedError, ValueError):
    """A wrong argument or input: the message is one line that says what is wrong, and what would do.

    Example:
        >>> import numpy as np
        >>> check({"w": np.array([])}, lambda p: 0.0, lambda p: {})
        Traceback (most recent call last):
        gradcheck.errors.UserError: parameter w is empty: its shape is (0,)
    """

    exit_code = 2


class OutOfTime(BaseException):
    """The budget of a check is used up: raised in the place of a further call, past whatever catches exceptions of the call."""


def one_line(error: BaseException) -> str:
    """What an exception says, on one line; its class where it says nothing."""
    try:
        return " ".join(str(error).split()) or type(error).__name__
    except Exception:  # it can't say what it has to say
        return type(error).__name__
