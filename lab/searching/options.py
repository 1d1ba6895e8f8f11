"""The options of search.py, and the SearchPlan that they make."""

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gradcheck.command import Parser, positive, whole_number
from gradcheck.errors import UserError
from lab.data import datasets
from lab.options import add_common_options, add_network_options, chosen_networks
from lab.searching.plan import SAMPLERS, SearchPlan
from lab.searching.space import Dimension, parse_dimension
from lab.training.options import initial
from lab.training.settings import Settings
from networks import NAMED, Network

DESCRIPTION = "Search lambda, and whatever else is varied, from coarse to fine: all candidates of a round train at once."

EXAMPLES = """\
examples:
  python search.py two-layer --data cifar10              8 lambdas from 1e-5 to 1e-1, 8 near the best, the winner tested
  python search.py two-layer --data cifar10 --seeds 3    three seeds for each: means, deviations, the noise of a seed
  python search.py two-layer --grid linear --step-size 900 --per-layer 0.5,1
  python search.py three-layer-bn --lam 1e-4..1e-2 --vary lr_max=0.01..0.3:log --vary width=20..100
  python search.py two-layer --lam 0.005 --vary init=0.001..0.1:log --sampler tpe
  python search.py two-layer --storage sqlite:///study.db --together 4   on every machine or terminal that is to help

The same command again continues a search that was stopped or killed, shows a finished search once more, or, while another
process works on it, takes a share of the work. A candidate that is finished is never trained again.
exit codes: 0 searched, 1 the gradient is wrong, 2 could not run, 130 stopped by Ctrl-C
"""

LAMBDA = "1e-5..1e-1"

# The options that are Settings of every training.
SETTINGS = ("implementation", "data", "data_dir", "split", "augment", "shuffle", "init", "batch_size", "lr_min", "lr_max",
            "step_size", "cycles", "dtype", "seed", "device", "verify")  # fmt: skip


@dataclass(frozen=True)
class SearchOptions:
    """What search.py is asked to do.

    The settings of `plan` are still to be resolved with the images. `together` trainings are done at once, shared through the
    study `study` of the Optuna storage at the URL `storage`; `out` is the folder of the results.
    """

    plan: SearchPlan
    together: int
    storage: str
    study: str
    out: Path


def parse(arguments: list[str]) -> SearchOptions:
    """The options, checked as far as they can be without the images. Ends the process or raises UserError at a wrong one."""
    parser = Parser(DESCRIPTION, EXAMPLES)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NAMED))
    add_network_options(parser)
    add_common_options(parser)
    add_search_options(parser)
    add_training_options(parser)
    add_study_options(parser)
    options = parser.parse_args(arguments)
    networks = chosen_networks(parser, options.networks, options)
    if len(networks) != 1:
        parser.error(f"name one network to search for: {', '.join(NAMED)}, or --hidden N,N,...")
    if options.study and "/" in options.study:
        parser.error(f"--study {options.study}: a name without /; --out names the folder")
    study = options.study or f"search-{networks[0].name}"
    out = options.out or Path("searches") / study
    plan = plan_of(options, networks[0])
    return SearchOptions(plan, options.together, options.storage or f"sqlite:///{out}/study.db", study, out)


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """What is varied, and how many candidates there are."""
    add = parser.add_argument
    add("--lam", default=LAMBDA, metavar="LOW..HIGH", help=f"range of lambda, or one number to keep it there ({LAMBDA})")
    add("--grid", choices=("log", "linear"), default="log", help="how lambda's coarse values lie, and its fine ones (log)")
    add("--per-layer", type=layer_factors, default=(), metavar="F,F,...", help="each layer's lambda: F times the candidate's")
    add("--vary", action="append", default=[], metavar="NAME=LOW..HIGH[:log]", help="also: width, depth, n_s, lr_max, init")
    add("--coarse", type=whole_number(2), default=8, metavar="N", help="candidates of the coarse round (8)")
    add("--fine", type=whole_number(0), default=8, metavar="N", help="candidates of the fine round, 0 for none (8)")
    add("--sampler", choices=SAMPLERS, default="random", help="of Optuna, for the fine round (random)")
    add("--seeds", type=whole_number(1), default=1, metavar="K", help="each candidate with seed, seed+1, ... (1)")
    add("--final-cycles", type=whole_number(0), default=3, metavar="N", help="cycles of the winner's training, 0 for none (3)")


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """The settings of each training, as those of train.py."""
    add = parser.add_argument
    lr_min, lr_max = Settings.lr_min, Settings.lr_max
    add("--implementation", choices=("manual", "torch"), default="manual", help="NumPy by hand or PyTorch (manual)")
    add("--split", choices=datasets.SPLITS, default="45000", help="images to train on and to validate on (45000)")
    add("--augment", choices=("flip",), help="mirror each image left to right with probability 0.5")
    add("--no-shuffle", dest="shuffle", action="store_false", help="keep the order of the images in every epoch")
    add("--init", type=initial, default="he", metavar="I", help="he, xavier, or a standard deviation (he)")
    add("--batch-size", type=whole_number(1), default=100, metavar="N", help="images an update (100)")
    add("--lr-min", type=positive, default=lr_min, metavar="LR", help=f"where a cycle starts and ends ({lr_min:g})")
    add("--lr-max", type=positive, default=lr_max, metavar="LR", help=f"the middle of a cycle ({lr_max:g})")
    add("--step-size", type=whole_number(1), metavar="N", help="updates of half a cycle, n_s (5 epochs)")
    add("--cycles", type=whole_number(1), default=2, metavar="N", help="cycles of each candidate (2)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="of all that is trained (float32)")
    add("--verify", choices=("subset", "full", "off"), default="subset", help="entries of the gradient checked first (subset)")


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """How the work is shared, and where the results go."""
    add = parser.add_argument
    add("--together", type=whole_number(1), default=8, metavar="N", help="candidates a process trains at once (8)")
    add("--storage", metavar="URL", help="of Optuna: sqlite:///FILE, another database, journal:FILE (DIR/study.db)")
    add("--study", metavar="NAME", help="the study in the storage (search-NETWORK)")
    add("--out", type=Path, metavar="DIR", help="the search's folder (searches/STUDY)")


def layer_factors(text: str) -> tuple[float, ...]:
    """An argparse type: factors of at least 0, one for each layer, as "0.5,1"."""
    try:
        found = tuple(float(part) for part in text.split(","))
        if not all(0 <= factor < float("inf") for factor in found):
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not one factor for each layer, as 0.5,1") from error
    return found


def plan_of(options: argparse.Namespace, network: Network) -> SearchPlan:
    """The SearchPlan that the options describe. Raises UserError."""
    lam, space = lambda_and_space(options)
    base = Settings(network, lam=lam, **{name: getattr(options, name) for name in SETTINGS})
    return SearchPlan(
        base,
        space,
        coarse=options.coarse,
        fine=options.fine,
        seeds=options.seeds,
        sampler=options.sampler,
        layer_factors=options.per_layer,
        final_cycles=options.final_cycles,
    )


def lambda_and_space(options: argparse.Namespace) -> tuple[float, tuple[Dimension, ...]]:
    """Lambda where it is not varied (else 0), and what is varied, lambda first. Raises UserError."""
    lam, space = 0.0, [parse_dimension(text) for text in options.vary]
    if ".." in options.lam:
        space.insert(0, parse_dimension(f"lambda={options.lam}{':log' if options.grid == 'log' else ''}"))
    else:
        try:
            lam = float(options.lam)
        except ValueError as error:
            raise UserError(f"--lam {options.lam} is neither a number nor a range LOW..HIGH") from error
        if not space:
            raise UserError(
                f"--lam {options.lam} leaves nothing to search; give a range, as {LAMBDA}, or vary something else with --vary"
            )
    name, count = Counter(each.name for each in space).most_common(1)[0]
    if count > 1:
        raise UserError(f"{name} is varied twice{'; --lam gives its range' if name == 'lambda' else ''}")
    return lam, tuple(space)
