"""What train.py does once its options are known."""

import shlex
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from rich.progress import TextColumn

from gradcheck.command import EXIT_CODES, progress_bar
from gradcheck.errors import UserError
from gradcheck.report.tables import show
from lab.cli.session import interruptible, verified
from lab.output.figures import draw
from lab.output.training import plan_sentence, record_line, result_table, sentences
from lab.training.run import Run, load_images, resolve_settings
from lab.training.run_folder import RunFolder
from lab.training.settings import Settings, device_of


def run_session(given: dict[str, Any]) -> int:
    """Trains what the options say, or shows what is finished already. Returns the exit code. Raises UserError, and Diverged."""
    folder = folder_of(given)
    if "resume" in given and folder.read_result():
        if len(given) > 1:
            raise UserError(f"{folder.path} is finished already: there is nothing left for other options to change")
        show(f"{folder.path} is finished already")
    else:
        run = begin(given, folder)
        show(plan_sentence(run))
        if not verified(run.settings, run.verify):
            print(f"{run.settings.network.name} is not trained: its gradient is wrong", file=sys.stderr)
            return EXIT_CODES["fail"]
        folder.write_settings(run.settings)
        if not train_with_progress(run):
            return 130
    result = folder.read_result()
    assert result is not None
    show(result_table(result), *sentences(result))
    show(f"{folder.path}: result.json, metrics.jsonl, {', '.join(draw([folder], folder.path))}")
    return 0


def begin(given: dict[str, Any], folder: RunFolder) -> Run:
    """A new Run, or one that goes on where it stopped. Raises UserError."""
    if "resume" in given:
        settings = replace(folder.settings(), **{name: value for name, value in given.items() if name != "resume"})
        return Run(settings, load_images(settings), folder, device_of(settings))
    folder.check_new()
    settings = Settings(**{name: value for name, value in given.items() if name != "out"})
    images = load_images(settings)
    settings = resolve_settings(settings, images)
    settings.network.lambdas(settings.lam)  # raises where there are not as many as layers
    return Run(settings, images, folder, device_of(settings))


def folder_of(given: dict[str, Any]) -> RunFolder:
    """The folder of --resume or --out, or else the first in runs/ that is not there yet."""
    if "resume" in given or "out" in given:
        return RunFolder(given.get("resume") or given["out"])
    stem = f"{given['network'].name}-{given.get('implementation', Settings.implementation)}"
    return RunFolder(next(path for k in count(1) if not (path := Path("runs") / f"{stem}-{k}").exists()))


def train_with_progress(run: Run) -> bool:
    """Trains with a progress bar, or where there is no terminal with a line a record. Returns whether it came to its end."""
    updates = run.plan.updates
    figures = TextColumn("{task.completed}/{task.total}  {task.fields[figures]}")
    with interruptible() as stopped, progress_bar(figures) as bar:
        task = bar.add_task(run.settings.network.name, total=updates, completed=run.progress.update, figures="")
        accuracy = ""

        def advance(lr: float, loss: float) -> None:
            if not bar.disable:
                bar.update(task, advance=1, figures=f"lr {lr:.2e}  loss {loss:.3f}  {accuracy}")

        for row in run.train(advance, stopped):
            accuracy = f"val {row['val']['accuracy']:.1%}"
            if bar.disable:
                show(record_line(row, updates))
    if run.progress.update < updates:
        resume = f"python {shlex.quote(sys.argv[0])} --resume {shlex.quote(str(run.folder.path))}"
        print(f"stopped after {run.progress.update:,} of {updates:,} updates; go on with: {resume}", file=sys.stderr)
    return run.progress.update == updates
