"""The result of a search as one HTML page that works from disk: the verdict, the figures, every candidate."""

import base64
from pathlib import Path

from matplotlib import style
from rich.text import Text

from gradcheck.report.document import html_document
from lab.output.figures import image_bytes
from lab.output.search import SearchResult, conclusion, dimension_names, format_point, remark
from lab.output.search_figures import accuracy_figure, curves_figure

FOLDER = Path(__file__).parent
FIGURES = {
    "Validation accuracy of each candidate": accuracy_figure,
    "The learning curves of the best candidates": curves_figure,
}


def search_html(result: SearchResult, command: str) -> str:
    """The whole HTML document; `command` is the command line that made the result."""
    network, final = result["search"]["network"]["name"], result["final"]
    best = None if result["best"] is None else result["candidates"][result["best"]]
    rest = f"is the best found for {network}" if best else f"No candidate for {network} was trained to its end."
    if final and "test" in final:
        rest += f": {100 * final['test']['accuracy']:.2f} % on the test images, measured once"
    data = {
        "search": result["search"],
        "candidates": result["candidates"],
        "word": format_point(best["point"]) if best else "All diverged",
        "rest": rest,
        "names": dimension_names(result),
        "command": command,
        "facts": facts(result),
        "remarks": [remark(result, k) for k in range(len(result["candidates"]))],
        "figures": figures(result),
    }
    return html_document(FOLDER / "search.html", [FOLDER / "search.js"], f"Search: {network}", data)


def facts(result: SearchResult) -> list[list[str]]:
    """What stands below the verdict: a heading and its sentences, each."""
    search = result["search"]
    tried = f"{len(result['candidates'])} candidates, seeds of each: {search['seeds']}, cycles: {search['cycles']}"
    return [["Found", *map(without_markup, conclusion(result))], ["Searched", *search["space"], tried]]


def without_markup(sentence: str) -> str:
    """A sentence without rich's mark-up."""
    return Text.from_markup(sentence).plain


def figures(result: SearchResult) -> list[dict[str, str]]:
    """Each figure with its title and two images, for light and for dark screens."""
    found = []
    for title, draw in FIGURES.items():
        figure = {"title": title}
        for mode, name in (("light", "default"), ("dark", "dark_background")):
            with style.context([name, {"savefig.transparent": True}]):
                figure[mode] = "data:image/svg+xml;base64," + base64.b64encode(image_bytes(draw(result), "svg")).decode()
        found.append(figure)
    return found
