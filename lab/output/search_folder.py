"""The folder of a search: its result as JSON, as figures and as a page."""

import json
from pathlib import Path

from gradcheck.errors import UserError
from gradcheck.report.files import write_bytes, write_json
from lab.output.figures import image_bytes
from lab.output.search import SearchResult
from lab.output.search_figures import accuracy_figure, curves_figure
from lab.output.search_page import search_html

FIGURES = {"search.png": accuracy_figure, "curves.png": curves_figure}


def check_search_folder(path: Path, study: str) -> None:
    """Raises UserError where the folder holds the search of another study."""
    try:
        found = json.loads((path / "search.json").read_text(encoding="utf-8"))["study"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path / 'search.json'} is no result of a search; name another folder with --out") from error
    if found != study:
        raise UserError(f"{path} holds the search of the study {found}; name another folder with --out")


def write_search(result: SearchResult, folder: Path, command: str) -> list[str]:
    """Writes the files of the search's folder; `command` is the command line that made the result. Returns their names."""
    write_json(folder / "search.json", result)
    write_bytes(folder / "search.html", search_html(result, command).encode())
    for name, draw in FIGURES.items():
        write_bytes(folder / name, image_bytes(draw(result), "png"))
    return ["search.json", "search.html", *FIGURES]
