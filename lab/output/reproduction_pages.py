"""The pages of a reproduction: `README.md`, `index.html` and the figures, from its JSON files alone."""

import base64
import json
from collections import defaultdict
from pathlib import Path

from gradcheck.report.document import html_document
from gradcheck.report.files import write_bytes
from gradcheck.report.tables import markdown
from lab.output.reproduction import COLUMNS, VERDICTS, claims_of, counts, headline, rows_of
from lab.output.reproduction_figures import draw, write_png

FOLDER = Path(__file__).parent
TWINS = {"manual": "NumPy", "torch": "PyTorch"}
INTRODUCTION = """\
Written by `python reproduce.py --pages` from the JSON files beside this page; do not edit it. Each number stands beside what
the report has: **as specified** by the course's sheet with a correct gradient, and **as run** where a report's own settings
are known to differ. Both twins train: NumPy with the gradient derived by hand, and PyTorch. Accuracies are in percent,
losses and costs in nats; ± is the standard deviation over the seeds. A number is met where the mean of each twin is within
what is allowed. A gradient check holds one twin against the other and stands once. `s` are the seconds of all runs of an
experiment, each its share of those that trained at once. Where a number is met as run, that column has one seed. Figures show
seed 0; images of W are those of the NumPy twin."""


def up_to_date(folder, contents, catalogue):
    """Whether the pages in `folder` are those of `contents`."""
    try:
        written = (folder / "README.md").read_text(encoding="utf-8")
        figures = [each for each in catalogue.figures if (folder / "figures" / f"{each.name}.png").exists()]
        return (folder / "index.html").exists() and written == readme(contents, catalogue, figures)
    except FileNotFoundError:
        return False


def write_pages(folder, contents, catalogue):
    """Writes all of them into `folder`. `contents` are the dicts of the experiments, in order."""
    drawn = {each: draw(each, [content for content in contents if each.shows(content["name"])]) for each in catalogue.figures}
    figures = [each for each, figure in drawn.items() if figure]
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for each in figures:
        write_png(drawn[each], folder / "figures" / f"{each.name}.png")
    write_bytes(folder / "README.md", readme(contents, catalogue, figures).encode())
    images = {each.name: (folder / "figures" / f"{each.name}.png").read_bytes() for each in figures}
    write_bytes(folder / "index.html", page(contents, catalogue, figures, images).encode())


def readme(contents, catalogue, figures):
    """The Markdown page."""
    lines = ["# The five reports again", "", f"**{headline(contents)}.**", "", INTRODUCTION, ""]
    lines += [f"- {sentence}" for sentence in facts(contents, catalogue)] + [""]
    for report, members in by_report(contents).items():
        lines += [f"## Report {report}", "", report_table(members), ""]
        lines += what_if_table(members) + remarks(members)
        for figure in figures:
            if figure.name.startswith(report):
                lines += [f"**{figure.title}**", "", f"![{figure.title}](figures/{figure.name}.png)", ""]
    return "\n".join(lines)


def by_report(contents):
    found = defaultdict(list)
    for content in contents:
        found[content["report"]].append(content)
    return found


def facts(contents, catalogue):
    """What was claimed, where and how long it ran, as sentences."""
    found = []
    for title, spreads, holds in claims_of(catalogue, contents):
        each = ", ".join(f"{TWINS[twin]} {'diverged' if apart is None else f'{apart:.2f}'}" for twin, apart in spreads.items())
        found.append(f"{'Holds' if holds else 'DOES NOT HOLD'}: {title} (apart by {each} points).")
    runs = [run for content in contents for run in content["runs"]]
    # Experiments of equal settings share a run.
    alone = {json.dumps([run["settings"], run["implementation"]]): run for run in runs}
    seconds = defaultdict(float)
    for run in alone.values():
        seconds[run["implementation"]] += run["seconds"]
    trained = ", ".join(f"{TWINS[twin]} {seconds[twin] / 60:.0f} min" for twin in TWINS if twin in seconds)
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    took = f"; they took, summed over the processes: {trained}" if trained else ""
    found.append(f"{len(alone):,} different runs, seeds {seeds}{took}.")
    environments = {", ".join(f"{name} {value}" for name, value in run["environment"].items()) for run in runs}
    found += [f"Made with {each}." for each in sorted(environments)]
    commits = ", ".join(sorted({run["commit"] or "none" for run in runs}))
    found.append(f"Commits (+: with changes that were not committed): {commits}.")
    found.append(f"Images: {', '.join(sorted({run['settings']['data'] for run in runs}))}.")
    return found


def report_table(members):
    twins = [f"{word}: {twin}" for word in ("specified", "as run") for twin in TWINS.values()]
    rows = [("experiment", "what", "number", "reported", "allowed", *twins, "met", "s")]
    for content in members:
        seconds = f"{sum(run['seconds'] for run in content['runs']):.0f}"
        for k, row in enumerate(rows_of(content)):
            cells = [cell for column in ("specified", "as-run") for cell in twin_cells(row.cells[column])]
            verdict = "" if row.verdict is None else VERDICTS[row.verdict][0]
            first = (row.experiment, row.title) if k == 0 else ("", "")
            rows.append((*first, row.number, row.reported, row.allowed, *cells, verdict, seconds if k == 0 else ""))
    return markdown(rows)


def twin_cells(cells):
    """The NumPy and the PyTorch cell; a gradient check of one against the other fills the first."""
    return (cells["both"], "") if "both" in cells else tuple(cells.get(twin, "") for twin in TWINS)


def what_if_table(members):
    rows = [("experiment", "number", "reported", *(f"what if: {twin}" for twin in TWINS.values()))]
    for content in members:
        for row in rows_of(content):
            if row.cells["what-if"]:
                rows.append((row.experiment, row.number, row.reported, *twin_cells(row.cells["what-if"])))
    return [markdown(rows), ""] if len(rows) > 1 else []


def remarks(members):
    """Why numbers are not met, and what is doubtful, each sentence once with the experiments that it is true of."""
    lines = []
    for title, sentences in (("What is not met", whys(members)), ("What is doubtful", doubts(members))):
        if sentences:
            lines += [f"{title}:", "", *(f"- {', '.join(names)}: {sentence}" for sentence, names in sentences.items()), ""]
    return lines


def whys(members):
    found = defaultdict(list)
    for content in members:
        for row in rows_of(content):
            if row.verdict == "explained":
                found[row.why].append(f"{row.experiment} ({row.number})")
    return found


def doubts(members):
    found = defaultdict(list)
    for content in members:
        for sentence in content["doubts"]:
            found[sentence].append(content["name"])
    return found


def page(contents, catalogue, figures, images):
    """The HTML page: works from disk, needs nothing else."""
    number = counts(contents)
    rows = [
        row._asdict() | {"report": content["report"], "first": k == 0}
        for content in contents
        for k, row in enumerate(rows_of(content))
    ]
    data = {
        "word": f"{number['specified']} of {sum(number.values())}",
        "rest": headline(contents).partition(" numbers ")[2].join(("numbers ", ".")),
        "facts": [["Found", *facts(contents, catalogue)], ["How to read", INTRODUCTION.replace("**", "").replace("`", "")]],
        "columns": COLUMNS,
        "twins": TWINS,
        "verdicts": {key: word for key, (word, _) in VERDICTS.items()},
        "rows": rows,
        "experiments": {content["name"]: about(content) for content in contents},
        "figures": [
            {
                "title": each.title,
                "report": each.name[:3],
                "image": "data:image/png;base64," + base64.b64encode(images[each.name]).decode(),
            }
            for each in figures
        ],
    }
    return html_document(FOLDER / "reproduction.html", [FOLDER / "reproduction.js"], "The five reports again", data)


def about(content):
    """What a row opens to: why, what is doubtful, and each of its runs with the command that repeats it."""
    runs = [
        {
            "column": run["column"],
            "twin": run["implementation"],
            "seed": run["seed"],
            "seconds": run["seconds"],
            "command": run["command"],
            "check": f"{run['verdict']}: {run['pass']:,} of {run['entries']:,} entries" if "verdict" in run else "",
        }
        for run in content["runs"]
    ]
    whys = list(dict.fromkeys(row.why for row in rows_of(content) if row.verdict == "explained"))
    return {"title": content["title"], "whys": whys, "doubts": content["doubts"], "runs": runs}
