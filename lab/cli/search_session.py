"""One process's share of a search, from its options to the files of its folder."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradcheck.command import EXIT_CODES
from gradcheck.report.files import make_folder
from gradcheck.report.tables import show
from lab.cli.search_display import Display, result_so_far
from lab.cli.session import interruptible, verified
from lab.data.parts import Data
from lab.output.search import conclusion, search_table
from lab.output.search_folder import check_search_folder, write_search
from lab.searching.options import SearchOptions
from lab.searching.search import Search
from lab.searching.storage import open_storage
from lab.searching.worker import SearchWorker, Stopped
from lab.training.run import load_images, resolve_settings, verify_first_batch
from lab.training.run_folder import RunFolder
from lab.training.settings import device_of
from lab.training.stacked import stacking_key
from networks import initial_state


def run_search(options: SearchOptions, command: str) -> int:
    """Searches, writes and shows what was found; `command` is the command line. Returns the exit code. Raises UserError."""
    images = load_images(options.plan.base)
    plan = replace(options.plan, base=resolve_settings(options.plan.base, images))
    plan.check()
    device = device_of(plan.base)
    make_folder(options.out, "name another with --out")
    check_search_folder(options.out, options.study)
    search = Search(plan, open_storage(options.storage), options.study)
    display = Display(search)
    try:
        with interruptible() as stopped:
            if not search.finished and not check_gradient(search, options.together, images, device):
                print(f"{plan.base.network.name} is not searched: its gradient is wrong", file=sys.stderr)
                return EXIT_CODES["fail"]
            worker = SearchWorker(search, images, device, options.together, stopped, display.report)
            final = work(worker, display, options.out, command)
    except Stopped:
        print(f"stopped; every finished candidate is kept; go on with: {command}", file=sys.stderr)
        return 130
    result = result_so_far(search, final)
    if display.in_place:
        show(search_table(result))
    show(*conclusion(result), f"{options.out}: {', '.join(write_search(result, options.out, command))}")
    return 0


def check_gradient(search: Search, together: int, images: Data, device: str) -> bool:
    """Whether no entry of the gradient is wrong in the middle of the ranges: the check that comes before every training.

    The stack that walks is the first of the search, of up to `together` candidates.
    """
    plan = search.plan
    settings = plan.settings_at({each.name: each.at(0.5) for each in plan.space})
    state = initial_state(settings.network, settings.init, settings.seed)
    trainings = [each.settings for each in search.trainings("coarse")]
    first = [each for each in trainings if stacking_key(each) == stacking_key(trainings[0])][:together]
    return verified(settings, lambda advance: verify_first_batch(settings, state, images, device, advance, first))


def work(worker: SearchWorker, display: Display, folder: Path, command: str) -> dict[str, Any] | None:
    """Works on the search until it is finished. Returns what its last training ended with, if it has one. Raises Stopped."""
    search = worker.search
    with display.live:
        for stage in search.plan.stages:
            worker.run_stage(stage)
            display.end_round()
            if search.winner() is None:
                break
        winner = search.winner()
        if winner is None or not search.plan.final_cycles:
            return None
        write_search(result_so_far(search), folder, command)
        return worker.run_final(winner.point, RunFolder(folder / "final"))
