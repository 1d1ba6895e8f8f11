"""The options of train.py, and the Settings that they make."""

import argparse
from collections.abc import Sequence
from typing import Any

from gradcheck.command import Parser, positive, whole_number
from gradcheck.errors import UserError
from lab.data import datasets
from lab.data.parts import NORMALISATIONS
from lab.options import NETWORK_OPTIONS, add_common_options, add_network_options, chosen_networks, lambdas
from lab.training.settings import CHANGEABLE, IMPLEMENTATIONS, SCHEDULES, Settings
from networks import NAMED, weight_std

DESCRIPTION = (
    "Train one network, by hand-written backpropagation, by PyTorch, or by both side by side; its gradient is verified first."
)

EXAMPLES = """\
examples:
  python train.py two-layer                                        the hand-written network, two cycles, synthetic images
  python train.py two-layer --data cifar10 --lam 0.01 --init xavier --step-size 800 --cycles 3
  python train.py three-layer-bn --implementation torch --data cifar10 --split 45000 --lam 0.005
  python train.py nine-layer --implementation both --dtype float64 --updates 200
  python train.py one-layer --schedule constant --lr 0.001 --epochs 40 --init 0.01
  python train.py --resume runs/two-layer-manual-1                 go on where a run stopped

exit codes: 0 trained, 1 the gradient is wrong or the training diverged, 2 could not run, 130 stopped by Ctrl-C
"""

# Options that have a meaning for one schedule alone.
CYCLICAL = ("lr_min", "lr_max", "step_size", "cycles")
STEP = ("decay_every", "decay_at")


def parse(arguments: Sequence[str], kind: type[Parser] = Parser) -> dict[str, Any]:
    """The options that were given, by name: only those, and `network` where a run begins.

    `kind` is the class of parser that reads them: what its `error` does happens where they are wrong.
    """
    parser = kind(DESCRIPTION, EXAMPLES)
    add_options(parser)
    options = parser.parse_args(arguments)
    given = {name: value for name, value in vars(options).items() if value is not None and value != []}
    if "resume" in given:
        for name in sorted(given.keys() - {"resume", *CHANGEABLE}):
            parser.error(f"--resume goes on with the settings of the run; drop {flag(name)}")
        return given
    networks = chosen_networks(parser, options.networks, options)
    if len(networks) != 1:
        parser.error(f"name one network to train: {', '.join(NAMED)}, or --hidden N,N,...")
    check_schedule(parser, given)
    return {name: value for name, value in given.items() if name not in ("networks", *NETWORK_OPTIONS)} | {
        "network": networks[0]
    }


def add_options(parser: Parser) -> None:
    """All options of train.py. Each is None where it is not given: Settings has the defaults."""
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NAMED))
    add_network_options(parser)
    parser.add_argument(
        "--implementation", choices=IMPLEMENTATIONS, help="NumPy by hand, PyTorch, or both side by side (manual)"
    )
    add_common_options(parser)
    add_image_options(parser)
    add_cost_options(parser)
    add_rate_options(parser)
    add_length_options(parser)
    add_run_options(parser)
    parser.set_defaults(**dict.fromkeys(("seed", "device", "data", "data_dir", "batch_norm", "shuffle")))


def add_image_options(parser: Parser) -> None:
    """Which images an update is taken at."""
    add = parser.add_argument
    add("--split", choices=datasets.SPLITS, help="images to train on and to validate on (small: 10,000 and 10,000)")
    add("--images", type=whole_number(1), metavar="N", help="train on the first N images of the training part alone (all)")
    add("--augment", choices=("flip",), help="mirror each image left to right with probability 0.5")
    add("--no-shuffle", dest="shuffle", action="store_false", help="keep the order of the images in every epoch")
    by = "whose mean and deviation (train); each-file: a fifth, as CIFAR-10's files; scalar: one of each for all pixels"
    add("--normalise", choices=NORMALISATIONS, help=by)


def add_cost_options(parser: Parser) -> None:
    """Where training starts, and what it minimises."""
    add = parser.add_argument
    add("--init", type=initial, metavar="I", help="he, xavier (variance 1/fan_in), or a standard deviation (he)")
    add("--init-bias", type=positive, metavar="STD", help="standard deviation of the first biases (0: they start at 0)")
    add("--lam", type=lambdas, metavar="L[,L...]", help="lambda of the L2 penalty, or one a layer (0)")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--batch-size", type=whole_number(1), metavar="N", help=f"images an update ({Settings.batch_size})")
    sizes.add_argument("--batches-per-epoch", type=whole_number(1), metavar="N", help="updates an epoch, instead")


def add_rate_options(parser: Parser) -> None:
    """The learning rate."""
    add = parser.add_argument
    add("--schedule", choices=SCHEDULES, help="of the learning rate (cyclical)")
    add("--lr-min", type=positive, metavar="LR", help=f"cyclical: where each cycle starts and ends ({Settings.lr_min:g})")
    add("--lr-max", type=positive, metavar="LR", help=f"cyclical: the middle of each cycle ({Settings.lr_max:g})")
    add("--step-size", type=whole_number(1), metavar="N", help="cyclical: updates of half a cycle, n_s (5 epochs)")
    add("--lr", type=positive, metavar="LR", help=f"constant and step: the learning rate at first ({Settings.lr:g})")
    decay = parser.add_mutually_exclusive_group()
    decay.add_argument("--decay-every", type=whole_number(1), metavar="K", help="step: divide lr by 10 every K epochs")
    decay.add_argument("--decay-at", type=epochs, metavar="E,E,...", help="step: divide lr by 10 after these epochs")


def add_length_options(parser: Parser) -> None:
    """How long training takes."""
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--cycles", type=whole_number(1), metavar="N", help="cyclical: how long, in cycles (2)")
    length.add_argument("--epochs", type=whole_number(1), metavar="N", help="how long, in epochs (40 if not cyclical)")
    length.add_argument("--updates", type=whole_number(1), metavar="N", help="how long, in updates")


def add_run_options(parser: Parser) -> None:
    """How it is computed, what is checked before, and where its files are."""
    add = parser.add_argument
    add("--dtype", choices=("float32", "float64"), help="of all that is trained (float32)")
    add("--verify", choices=("subset", "full", "off"), help="entries of the gradient checked before the first update (subset)")
    add("--record-every", type=whole_number(1), metavar="N", help="updates between records (a tenth of a cycle, or an epoch)")
    add("--out", type=nonempty, metavar="DIR", help="the run's folder (runs/NETWORK-IMPLEMENTATION-1, -2, ...)")
    add("--resume", type=nonempty, metavar="DIR", help="go on with the run in this folder, as if it had never stopped")


def flag(name: str) -> str:
    """How an option is written on the command line."""
    return {"networks": "the network", "shuffle": "--no-shuffle"}.get(name, f"--{name.replace('_', '-')}")


def check_schedule(parser: Parser, given: dict[str, Any]) -> None:
    """Ends the command where an option of one schedule is given with another one."""
    schedule = given.get("schedule", "cyclical")
    for name in (*CYCLICAL, *STEP, "lr"):
        wrong = {"cyclical": name not in CYCLICAL, "constant": name != "lr", "step": name in CYCLICAL}[schedule]
        if name in given and wrong:
            parser.error(f"{flag(name)} has no meaning for --schedule {schedule}")
    if schedule == "step" and not given.keys() & {*STEP}:
        parser.error("--schedule step needs --decay-every K or --decay-at E,E,...")
    if given.get("lr_min", Settings.lr_min) > given.get("lr_max", Settings.lr_max):
        parser.error("--lr-min is over --lr-max")


def initial(text: str) -> str:
    """An argparse type: the name of a way to draw the first weights, or their standard deviation."""
    try:
        weight_std(text, fan_in=1)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def nonempty(text: str) -> str:
    """An argparse type: the name of a folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name is not a folder")
    return text


def epochs(text: str) -> tuple[int, ...]:
    """An argparse type: numbers of epochs, as 11,50."""
    return tuple(whole_number(1)(part) for part in text.split(","))
