"""Search lambda, and whatever else is varied, from coarse to fine: all candidates of a round train at once."""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from gradcheck.command import EXIT_CODES, Parser, positive, whole_number
from gradcheck.errors import UserError
from gradcheck.report.files import write_bytes, write_json
from gradcheck.report.tables import show
from lab.cli.session import interruptible, verified
from lab.data import datasets
from lab.options import add_common_options, add_network_options, chosen_networks, device_of
from lab.output.search import conclusion, draw_search, search_json, search_table
from lab.output.search_page import search_page
from lab.searching.board import open_storage
from lab.searching.ranking import as_good, noise, ranked
from lab.searching.search import STAGES, Search, SearchPlan, Stopped
from lab.searching.space import SAMPLERS, dimension, settings_at
from lab.training.options import initial
from lab.training.run import load_images, resolve_settings, verify_first_batch
from lab.training.run_folder import RunFolder
from lab.training.settings import Settings, training_plan
from networks import NAMED, initial_state, weight_std

EXAMPLES = """\
examples:
  python search.py two-layer --data cifar10              8 lambdas from 1e-5 to 1e-1, 8 near the best, the winner tested
  python search.py two-layer --data cifar10 --seeds 3    three seeds each: means, deviations, what can't be told apart
  python search.py two-layer --grid linear --step-size 900 --per-layer 0.5,1
  python search.py three-layer-bn --lam 1e-4..1e-2 --vary lr_max=0.01..0.3:log --vary width=20..100
  python search.py two-layer --lam 0.005 --vary init=0.001..0.1:log --sampler tpe
  python search.py two-layer --storage sqlite:///study.db --together 4   on every machine or terminal that shall help

The same command again goes on where it was stopped or killed, shows a finished search again, or, while another process works
on it, takes a share of the work. Every candidate that is finished stays so.
exit codes: 0 searched, 1 the gradient is wrong, 2 could not run, 130 stopped by Ctrl-C
"""

LAMBDA = "1e-5..1e-1"


def parse(arguments):
    """The SearchPlan of the search and the options."""
    parser = Parser(__doc__, EXAMPLES)
    default = Settings(network=None)
    add = parser.add_argument
    add("networks", nargs="*", metavar="NETWORK", help=", ".join(NAMED))
    add_network_options(parser)
    add("--implementation", choices=("manual", "torch"), default="manual", help="NumPy by hand or PyTorch (manual)")
    add_common_options(parser)
    add("--lam", default=LAMBDA, metavar="LOW..HIGH", help=f"range of lambda, or one number to keep it there ({LAMBDA})")
    add("--grid", choices=("log", "linear"), default="log", help="how lambda's coarse values lie, and its fine ones (log)")
    add("--per-layer", type=factors, default=(), metavar="F,F,...", help="lambda of each layer is F times the candidate's")
    add("--vary", action="append", default=[], metavar="NAME=LOW..HIGH[:log]", help="also: width, depth, n_s, lr_max, init")
    add("--coarse", type=whole_number(2), default=8, metavar="N", help="candidates of the coarse round (8)")
    add("--fine", type=whole_number(0), default=8, metavar="N", help="candidates of the fine round, 0 for none (8)")
    add("--sampler", choices=SAMPLERS, default="random", help="of Optuna, for the fine round (random)")
    add("--seeds", type=whole_number(1), default=1, metavar="K", help="each candidate with seed, seed+1, ... (1)")
    add("--final-cycles", type=whole_number(0), default=3, metavar="N", help="cycles of the winner's training, 0 for none (3)")
    add("--split", choices=datasets.SPLITS, default="45000", help="images to train on and to validate on (45000)")
    add("--augment", choices=("flip",), help="mirror each image left to right with probability 0.5")
    add("--no-shuffle", dest="shuffle", action="store_false", help="keep the order of the images in every epoch")
    add("--init", type=initial, default="he", metavar="I", help="he, xavier, or a standard deviation (he)")
    add("--batch-size", type=whole_number(1), default=100, metavar="N", help="images an update (100)")
    add(
        "--lr-min",
        type=positive,
        default=default.lr_min,
        metavar="LR",
        help=f"where a cycle starts and ends ({default.lr_min:g})",
    )
    add("--lr-max", type=positive, default=default.lr_max, metavar="LR", help=f"the middle of a cycle ({default.lr_max:g})")
    add("--step-size", type=whole_number(1), metavar="N", help="updates of half a cycle, n_s (5 epochs)")
    add("--cycles", type=whole_number(1), default=2, metavar="N", help="cycles of each candidate (2)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="of all that is trained (float32)")
    add("--verify", choices=("subset", "full", "off"), default="subset", help="entries of the gradient checked first (subset)")
    add("--together", type=whole_number(1), default=8, metavar="N", help="candidates a process trains at once (8)")
    add("--storage", metavar="URL", help="of Optuna: sqlite:///FILE, another database, journal:FILE (DIR/study.db)")
    add("--study", metavar="NAME", help="the study in the storage (search-NETWORK)")
    add("--out", type=Path, metavar="DIR", help="the search's folder (searches/STUDY)")
    options = parser.parse_args(arguments)
    networks = chosen_networks(parser, options.networks, options)
    if len(networks) != 1:
        parser.error(f"name one network to search for: {', '.join(NAMED)}, or --hidden N,N,...")
    if options.study and "/" in options.study:
        parser.error(f"--study {options.study}: a name without /; --out names the folder")
    options.study = options.study or f"search-{networks[0].name}"
    options.out = options.out or Path("searches") / options.study
    options.network = networks[0]
    return options


def factors(text):
    try:
        found = tuple(float(part) for part in text.split(","))
        if not all(0 <= factor < float("inf") for factor in found):
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not one factor a layer, as 0.5,1") from error
    return found


def plan_of(options):
    """The SearchPlan that the options describe, its settings those of the data, and the images. Raises UserError."""
    space = [dimension(text) for text in options.vary]
    lam = 0.0
    if ".." in options.lam:
        space.insert(0, dimension(f"lambda={options.lam}{':log' if options.grid == 'log' else ''}"))
    else:
        try:
            lam = float(options.lam)
        except ValueError as error:
            raise UserError(f"--lam {options.lam} is neither a number nor a range LOW..HIGH") from error
        if not space:
            raise UserError(f"--lam {options.lam} leaves nothing to search; give a range, as {LAMBDA}, or --vary another")
    names = [each.name for each in space]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name} is varied twice{'; --lam gives its range' if name == 'lambda' else ''}")
    kept = ("network", "implementation", "data", "data_dir", "split", "augment", "shuffle", "init", "batch_size", "lr_min")
    kept += ("lr_max", "step_size", "cycles", "dtype", "seed", "device", "verify")
    base = Settings(lam=lam, **{name: getattr(options, name) for name in kept})
    images = load_images(base)
    plan = SearchPlan(
        resolve_settings(base, images),
        tuple(space),
        options.coarse,
        options.fine,
        options.seeds,
        options.sampler,
        options.per_layer,
        options.final_cycles,
    )
    for corner in (
        {each.name: each.rounded(each.low) for each in space},
        {each.name: each.rounded(each.high) for each in space},
    ):
        settings = settings_at(plan.base, corner, plan.factors)
        training_plan(settings, settings.images)
        weight_std(settings.init, fan_in=1)
        if settings.lr_min > settings.lr_max:
            raise UserError(f"lr_min {settings.lr_min:g} is over lr_max {settings.lr_max:g}; give another --lr-min")
    return plan, images


class Display:
    """The table of the candidates while the search runs: in place on a terminal, else a table at the end of each round."""

    def __init__(self, live):
        self.live, self.search, self.shown, self.words = live, None, 0.0, ""

    def __call__(self):
        if self.live.console.is_terminal and time.monotonic() - self.shown > 1:
            self.shown = time.monotonic()
            self.live.update(search_table(result_of(self.search), self.progress()), refresh=True)

    def progress(self):
        training = self.search.training
        if training and training.rows:
            done, last = training.rows[-1], training.plan.updates
            return f", {len(training.candidates)} at update {done['update']:,} of {last:,}"
        return ", others are at work" if self.search.waiting else self.words


def result_of(search, final=None):
    candidates = search.known()
    best = next((each for each in ranked(candidates) if each.mean is not None), None)
    return search_json(search.board.name, search.plan, candidates, best, as_good(candidates), noise(candidates), final)


def check_gradient(plan, images, device):
    """Whether no entry of the gradient is wrong, at the middle of the range: the check that comes before every training."""
    middle = {each.name: each.at(0.5) for each in plan.space}
    settings = settings_at(plan.base, middle, plan.factors)
    state = initial_state(settings.network, settings.init, settings.seed)
    return verified(settings, lambda advance: verify_first_batch(settings, state, images, device, advance))


def main(arguments):
    options = parse(arguments)
    plan, images = plan_of(options)
    device = device_of(plan.base)
    make_folder(options.out)
    check_folder(options.out, options.study)
    storage = open_storage(options.storage or f"sqlite:///{options.out}/study.db")
    with interruptible() as stopped, Live(console=Console(file=sys.stderr), auto_refresh=False, transient=True) as live:
        display = Display(live)
        search = Search(plan, images, device, storage, options.study, options.together, stopped, display)
        display.search = search
        try:
            return searched(search, options, images, device, display)
        except Stopped:
            again = shlex.join([*sys.argv[:1], *arguments])
            print(f"stopped; what is finished is kept; go on with: python {again}", file=sys.stderr)
            return 130


def searched(search, options, images, device, display):
    plan = search.plan
    if not all(each.finished for each in search.known()) and not check_gradient(plan, images, device):
        return EXIT_CODES["fail"]
    final = None
    for stage in STAGES if plan.fine else STAGES[:1]:
        search.stage(stage)
        if not display.live.console.is_terminal:
            show(search_table(result_of(search)))
        if all(each.mean is None for each in search.known()):
            break
    else:
        if plan.final_cycles:
            write(result_of(search), options.out)
            display.words = ", the winner is training"
            final = search.final(load_images(search.final_settings()), RunFolder(options.out / "final"))
    display.live.stop()
    result = result_of(search, final)
    if display.live.console.is_terminal:
        show(search_table(result))
    show(*conclusion(result), f"{options.out}: {', '.join(write(result, options.out))}")
    return 0


def write(result, folder):
    """The files of the search's folder. Returns their names."""
    write_json(folder / "search.json", result)
    write_bytes(folder / "search.html", search_page(result, shlex.join(["python", *sys.argv])).encode())
    return ["search.json", "search.html", *draw_search(result, folder)]


def check_folder(path, study):
    """Raises UserError where the folder shows another study."""
    try:
        found = json.loads((path / "search.json").read_text(encoding="utf-8"))["study"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path / 'search.json'} is no result of a search; name another folder with --out") from error
    if found != study:
        raise UserError(f"{path} holds the search of the study {found}; name another folder with --out")


def make_folder(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {path} can't be made ({error.strerror}); name another with --out") from error
