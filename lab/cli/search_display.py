"""What a search shows while it runs."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.live import Live

from gradcheck.report.tables import show
from lab.output.search import SearchResult, search_json, search_table
from lab.searching.search import Search


class Display:
    """The table of the candidates: on a terminal it is drawn again in place, elsewhere it is printed after each round.

    `live` is a context: what is drawn in place is gone when it ends.
    """

    def __init__(self, search: Search) -> None:
        self.search, self._drawn = search, 0.0
        self.live = Live(console=Console(file=sys.stderr), auto_refresh=False, transient=True)

    @property
    def in_place(self) -> bool:
        """Whether this is a terminal."""
        return self.live.console.is_terminal

    def report(self, progress: str) -> None:
        """Draws the table, on a terminal, unless it was drawn within the last second; `progress` says what goes on."""
        now = time.monotonic()
        if self.in_place and now - self._drawn > 1:
            self._drawn = now
            self.live.update(search_table(result_so_far(self.search), progress), refresh=True)

    def end_round(self) -> None:
        """Prints the table, if this is not a terminal."""
        if not self.in_place:
            show(search_table(result_so_far(self.search)))


def result_so_far(search: Search, final: dict[str, Any] | None = None) -> SearchResult:
    """What search.json holds, of the candidates as they are now; `final` is what the last training ended with."""
    return search_json(search.name, search.plan, search.known_candidates(), final)
