"""The result of a search as one HTML page that works from disk: the verdict, the figures, every candidate."""

import base64
from pathlib import Path

from matplotlib import style
from rich.text import Text

from gradcheck.report.document import html_document
from lab.output.search import accuracy_figure, conclusion, curves_figure, drawn, format_point, names, remark

FOLDER = Path(__file__).parent
FIGURES = {
    "Validation accuracy of each candidate": accuracy_figure,
    "The learning curves of the best candidates": curves_figure,
}


def search_page(result, command):
    """The whole HTML document of `result`, the dict of search.json; `command` is the command line that made it."""
    network, final = result["search"]["network"]["name"], result["final"]
    best = None if result["best"] is None else result["candidates"][result["best"]]
    word = format_point(best["point"]) if best else "All diverged"
    rest = f"is the best found for {network}" if best else f"No candidate for {network} was trained to its end."
    if final and "test" in final:
        rest += f": {100 * final['test']['accuracy']:.2f} % on the test images, measured once"
    data = {key: result[key] for key in ("search", "candidates")}
    data |= {"word": word, "rest": rest, "names": names(result), "command": command, "facts": facts(result)}
    data |= {"remarks": [remark(result, k) for k in range(len(result["candidates"]))], "figures": figures(result)}
    return html_document(FOLDER / "search.html", [FOLDER / "search.js"], f"Search: {network}", data)


def facts(result):
    search = result["search"]
    tried = f"{len(result['candidates'])} candidates, seeds of each: {search['seeds']}, cycles: {search['cycles']}"
    return [["Found", *map(plain, conclusion(result))], ["Searched", *search["space"], tried]]


def plain(sentence):
    """A sentence without rich's mark-up."""
    return Text.from_markup(sentence).plain


def figures(result):
    """Each figure as two images, for light and for dark screens."""
    found = []
    for title, draw in FIGURES.items():
        images = {}
        for mode, name in (("light", "default"), ("dark", "dark_background")):
            with style.context([name, {"savefig.transparent": True}]):
                images[mode] = "data:image/svg+xml;base64," + base64.b64encode(drawn(draw(result), "svg")).decode()
        found.append({"title": title} | images)
    return found
