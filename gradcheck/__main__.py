"""`python -m gradcheck FILE.py`: the same as the installed command."""

from gradcheck.cli import entry

entry()
