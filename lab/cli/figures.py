"""Draw the figures of training runs again, or of several runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from gradcheck.command import Parser

EXAMPLES = """\
examples:
  python figures.py runs/two-layer-manual-1                       again, also while it trains
  python figures.py runs/one-layer-manual-1 runs/one-layer-sigmoid-manual-1 --out softmax-beside-sigmoid
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command. Returns its exit code. Raises UserError."""
    parser = Parser(__doc__, EXAMPLES)
    parser.add_argument("runs", nargs="+", metavar="DIR", help="folders that train.py wrote")
    parser.add_argument("--out", metavar="DIR", help="where the figures go (the folder of a single run)")
    options = parser.parse_args(arguments)
    if len(options.runs) > 1 and options.out is None:
        parser.error("figures of several runs need a folder of their own: --out DIR")

    from gradcheck.report.files import make_folder
    from lab.output.figures import draw
    from lab.training.run_folder import RunFolder

    out = Path(options.out or options.runs[0])
    runs = [RunFolder(path) for path in options.runs]
    for folder in runs:
        folder.settings()
    make_folder(out, "name another with --out")
    print("\n".join(str(out / name) for name in draw(runs, out)))
    return 0
