"""The JSON Schema of what `--json` writes, from the types in gradcheck/result.py. `python tests/write_schema.py` writes it.

It stands in the wheel, so that programs that read results can validate them without Python.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # also where this is run as a script

from gradcheck.result import RunResult  # noqa: E402

FILE = ROOT / "gradcheck" / "report" / "schema.json"


def schema_of_results() -> dict[str, Any]:
    """The schema of a RunResult."""
    (found,), definitions = msgspec.json.schema_components([RunResult], ref_template="#/$defs/{name}")
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "The result of gradcheck, as --json writes it"}
    return about | found | {"$defs": definitions}


def as_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(schema_of_results()), encoding="utf-8")
