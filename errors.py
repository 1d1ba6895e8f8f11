"""The one exception for what a person can mend."""


class UserError(ValueError):
    """A wrong argument or input. The message is one line: what is wrong, where, what to do. Commands exit with 2."""
