"""Checks of what a file of experiments says; each raises UserError."""

from collections.abc import Collection
from typing import Any

from gradcheck.errors import UserError


def check_choice(what: str, value: object, choices: Collection[str]) -> None:
    """Raises UserError where `value` is not one of the `choices`; `what` begins the message."""
    if value not in choices:
        raise UserError(f"{what} {value!r} is not one of {', '.join(choices)}")


def check_keys(table: Any, known: Collection[str]) -> None:
    """Raises UserError where `table` is not a table, or has a key that is not one of `known`."""
    if not isinstance(table, dict):
        raise UserError(f"{table!r} is not a table")
    unknown = table.keys() - set(known)
    if unknown:
        raise UserError(f"{min(unknown)!r} is not one of {', '.join(sorted(known))}")
