"""An HTML page in one file: a body, the style and the scripts of this folder, and what they show as JSON."""

import base64
import hashlib
import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent


def html_document(body: Path, scripts: Sequence[Path], title: str, data: Any) -> str:
    """The whole HTML document, to be written as UTF-8: no other script or style runs in it, and no request leaves it.

    `body` is the file of its body, `scripts` are those that run after elements.js, `data` is what they show.
    """
    style = (FOLDER / "page.css").read_text(encoding="utf-8")
    script = "\n".join(path.read_text(encoding="utf-8") for path in (FOLDER / "elements.js", *scripts))
    return Template((FOLDER / "document.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        body=body.read_text(encoding="utf-8"),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=_json(data),
    )


def _json(value: Any) -> str:
    """JSON that may stand inside a <script> element: nothing in it ends the element or begins another."""
    text = json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    """`value` as JSON has it: lists for arrays, None for a number that is not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _hash(text: str) -> str:
    """What the page's content security policy knows an inline style or script by: no other runs."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
