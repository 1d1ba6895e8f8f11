"""The pages of a reproduction: `README.md`, `index.html` and the figures, from its JSON files alone."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcheck.report.document import html_document
from gradcheck.report.files import make_folder, write_bytes
from gradcheck.report.tables import markdown
from lab.output.reproduction import COLUMNS, VERDICT_WORDS, headline, number_rows, twin_cells
from lab.output.reproduction_facts import TWINS, doubts, explanations, facts
from lab.reports.catalogue import Catalogue, FigureDescription
from lab.reports.result_forms import ExperimentForm
from lab.reports.verdicts import count_verdicts

FOLDER = Path(__file__).parent
INTRODUCTION = """\
Written by `python reproduce.py --pages` from the JSON files beside this page; do not edit it. Each number stands beside what
the report has: **as specified** by the course's sheet with a correct gradient, and **as run** where a report's own settings
are known to differ. Both twins train: NumPy with the gradient derived by hand, and PyTorch. Accuracies are in percent,
losses and costs in nats; ± is the standard deviation over the seeds. A number is met where the mean of each twin is within
what is allowed. A gradient check compares one twin with the other and appears once. `s` is the time in seconds of all runs of
an experiment; of trainings that were done at once, each has its share. Where a number is met as run, that column has one seed.
Figures show seed 0; images of W are those of the NumPy twin."""


def up_to_date(folder: Path, contents: Sequence[ExperimentForm], catalogue: Catalogue) -> bool:
    """Whether the pages in `folder` are those of `contents`."""
    try:
        written = (folder / "README.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    figures = [figure for figure in catalogue.figures if figure_file(folder, figure).exists()]
    return (folder / "index.html").exists() and written == readme(contents, catalogue, figures)


def figure_file(folder: Path, figure: FigureDescription) -> Path:
    return folder / "figures" / f"{figure.name}.png"


def write_pages(folder: Path, contents: Sequence[ExperimentForm], catalogue: Catalogue) -> None:
    """Writes README.md, index.html and figures/ into `folder`. `contents` are the experiments in order. Raises UserError."""
    figures = write_figures(folder, contents, catalogue)
    write_bytes(folder / "README.md", readme(contents, catalogue, figures).encode())
    images = {figure.name: figure_file(folder, figure).read_bytes() for figure in figures}
    write_bytes(folder / "index.html", reproduction_html(contents, catalogue, figures, images).encode())


def write_figures(folder: Path, contents: Sequence[ExperimentForm], catalogue: Catalogue) -> list[FigureDescription]:
    """Writes the figures that can be drawn of `contents`. Returns their descriptions."""
    from lab.output.reproduction_figures import draw, write_png  # matplotlib, for which pages that are up to date need not wait

    make_folder(folder / "figures", "name another with --results")
    written = []
    for description in catalogue.figures:
        figure = draw(description, [content for content in contents if description.shows(content["name"])])
        if figure is not None:
            write_png(figure, figure_file(folder, description))
            written.append(description)
    return written


def readme(contents: Sequence[ExperimentForm], catalogue: Catalogue, figures: Sequence[FigureDescription]) -> str:
    """The Markdown page."""
    lines = ["# The five reports again", "", f"**{headline(contents)}.**", "", INTRODUCTION, ""]
    lines += [f"- {sentence}" for sentence in facts(contents, catalogue)] + [""]
    for report in dict.fromkeys(content["report"] for content in contents):
        members = [content for content in contents if content["report"] == report]
        lines += [f"## Report {report}", "", report_table(members), ""]
        lines += what_if_table(members)
        lines += remarks("What is not met", explanations(members)) + remarks("What is doubtful", doubts(members))
        for figure in figures:
            if figure.name.startswith(report):
                lines += [f"**{figure.title}**", "", f"![{figure.title}](figures/{figure.name}.png)", ""]
    return "\n".join(lines)


def report_table(members: Sequence[ExperimentForm]) -> str:
    """The Markdown table of a report: a row for each number of its experiments `members`."""
    twins = [f"{word}: {twin}" for word in ("specified", "as run") for twin in TWINS.values()]
    rows: list[tuple[str, ...]] = [("experiment", "what", "number", "reported", "allowed", *twins, "met", "s")]
    for content in members:
        first = (content["name"], content["title"])
        seconds = f"{sum(run['seconds'] for run in content['runs']):.0f}"
        for row in number_rows(content):
            cells = [cell for column in ("specified", "as-run") for cell in twin_cells(row.cells[column])]
            verdict = "" if row.verdict is None else VERDICT_WORDS[row.verdict][0]
            rows.append((*first, row.number, row.reported, row.allowed, *cells, verdict, seconds))
            first, seconds = ("", ""), ""
    return markdown(rows)


def what_if_table(members: Sequence[ExperimentForm]) -> list[str]:
    """The lines of the Markdown table of what would have to be true for a number; none where no experiment asks."""
    rows: list[tuple[str, ...]] = [("experiment", "number", "reported", *(f"what if: {twin}" for twin in TWINS.values()))]
    for content in members:
        for row in number_rows(content):
            if row.cells["what-if"]:
                rows.append((row.experiment, row.number, row.reported, *twin_cells(row.cells["what-if"])))
    return [markdown(rows), ""] if len(rows) > 1 else []


def remarks(title: str, sentences: Mapping[str, Sequence[str]]) -> list[str]:
    """A Markdown list of sentences, each once with the names of what it is true of; no lines where there are none."""
    if not sentences:
        return []
    return [f"{title}:", "", *(f"- {', '.join(names)}: {sentence}" for sentence, names in sentences.items()), ""]


def reproduction_html(
    contents: Sequence[ExperimentForm],
    catalogue: Catalogue,
    figures: Sequence[FigureDescription],
    images: Mapping[str, bytes],
) -> str:
    """The HTML page: it works from disk and needs nothing else. `images` holds the PNG files of the `figures` by name."""
    counts = count_verdicts(contents)
    data = {
        "word": f"{counts['specified']} of {sum(counts.values())}",
        "rest": headline(contents).partition(" numbers ")[2].join(("numbers ", ".")),
        "facts": [["Found", *facts(contents, catalogue)], ["How to read", INTRODUCTION.replace("**", "").replace("`", "")]],
        "columns": COLUMNS,
        "twins": TWINS,
        "verdicts": {verdict: words for verdict, (words, _) in VERDICT_WORDS.items()},
        "rows": [row for content in contents for row in html_rows(content)],
        "experiments": {content["name"]: html_details(content) for content in contents},
        "figures": [html_figure(figure, images[figure.name]) for figure in figures],
    }
    return html_document(FOLDER / "reproduction.html", [FOLDER / "reproduction.js"], "The five reports again", data)


def html_rows(content: ExperimentForm) -> list[dict[str, Any]]:
    """The rows of an experiment in the table of its report."""
    return [row._asdict() | {"report": content["report"], "first": k == 0} for k, row in enumerate(number_rows(content))]


def html_details(content: ExperimentForm) -> dict[str, Any]:
    """What a row opens to: explanations, doubts, and each of its runs with the command that repeats it."""
    runs = [
        {
            "column": run["column"],
            "twin": run["implementation"],
            "seed": run["seed"],
            "seconds": run["seconds"],
            "command": run["command"],
            "check": f"{run['verdict']}: {run['pass']:,} of {run['entries']:,} entries" if "measured" in run else "",
        }
        for run in content["runs"]
    ]
    whys = list(explanations([content]))
    return {"title": content["title"], "whys": whys, "doubts": content["doubts"], "runs": runs}


def html_figure(figure: FigureDescription, image: bytes) -> dict[str, str]:
    """A figure in the section of its report, with its PNG file `image` in it."""
    source = "data:image/png;base64," + base64.b64encode(image).decode()
    return {"title": figure.title, "report": figure.name[:3], "image": source}
