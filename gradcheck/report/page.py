"""The result of a comparison as one HTML page that needs no network and no library, and works from disk.

Its parts stand in files of their own beside this one: page.html, page.css and the scripts.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.report.document import FOLDER, html_document
from gradcheck.report.sentences import alone_sentences, asked_for
from gradcheck.result import RunResult, TensorRow

SCRIPTS = ("plot.js", "heatmap.js", "detail.js", "page.js")

# A heat map has one byte an entry, its level: 0 for no error, then a twelfth of a decade of error / allowed each, so that
# LIMIT is the last that is allowed, and two that are no numbers.
PER_DECADE, LIMIT, LARGEST, NOT_FINITE, NOT_CHECKED = 12, 126, 253, 254, 255

# A tensor with more entries has no heat map: the page would be slow to open.
MOST_ENTRIES = 4_000_000


def comparison_page(result: RunResult, pictures: Sequence[Mapping[str, Any]], command: str) -> str:
    """The whole HTML document, to be written as UTF-8.

    `result` is the dict that the JSON file holds. `pictures` is a list parallel to its networks, of dicts by tensor name:
    {"errors": array of the tensor's shape, |claimed - reference| / what is allowed, worst over the oracles, nan where not
    checked, "sweep": None or {"steps": (k,), "index": of the entry, oracle: relative error or None at each step (k,), ...}}.
    A tensor may be missing there. `command` is the command line that made the page.
    """
    networks = [
        dict(network) | {"tensors": [_tensor(tensor, found.get(tensor["name"])) for tensor in network["tensors"]]}
        for network, found in zip(result["networks"], pictures, strict=True)
    ]
    levels = {"perDecade": PER_DECADE, "limit": LIMIT, "largest": LARGEST, "notFinite": NOT_FINITE, "notChecked": NOT_CHECKED}
    asked = asked_for([tensor for network in result["networks"] for tensor in network["tensors"]])
    data = dict(result) | {"networks": networks, "command": command, "levels": levels, "mostEntries": MOST_ENTRIES}
    data["askedFor"] = asked
    return html_document(
        FOLDER / "page.html", [FOLDER / name for name in SCRIPTS], f"Gradient check: {result['verdict']}", data
    )


def heat_map(errors: Array) -> str:
    """The levels of `errors` (any shape), in base64; nan is "not checked"."""
    errors = np.asarray(errors, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.clip(np.ceil(np.log10(errors) * PER_DECADE) + LIMIT, 1, LARGEST)
    level = np.select([errors == 0, np.isinf(errors), np.isnan(errors)], [0, NOT_FINITE, NOT_CHECKED], level)
    return base64.b64encode(level.astype(np.uint8).tobytes()).decode("ascii")


def _tensor(tensor: TensorRow, picture: Mapping[str, Any] | None) -> dict[str, Any]:
    """A tensor's row with its pictures, and who stands alone in sentences."""
    picture = picture or {"errors": None, "sweep": None}
    drawn = picture["errors"] is not None and tensor["entries"] <= MOST_ENTRIES
    pictures = {"errors": heat_map(picture["errors"]) if drawn else None, "sweep": picture["sweep"]}
    return dict(tensor) | pictures | {"alone": list(alone_sentences(tensor))}
