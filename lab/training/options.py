"""The options of train.py, and the Settings that they make."""

import argparse

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

CYCLICAL = {"lr_min": "--lr-min", "lr_max": "--lr-max", "step_size": "--step-size", "cycles": "--cycles"}
STEP = {"decay_every": "--decay-every", "decay_at": "--decay-at"}


def parse(arguments, kind=Parser):
    """The options that were given, by name: only those. `kind` is the class of parser that reads them."""
    parser = kind(DESCRIPTION, EXAMPLES)
    default = Settings(network=None)
    add = parser.add_argument
    add("networks", nargs="*", metavar="NETWORK", help=", ".join(NAMED))
    add_network_options(parser)
    add("--implementation", choices=IMPLEMENTATIONS, help="NumPy by hand, PyTorch, or both side by side (manual)")
    add_common_options(parser)
    add("--split", choices=datasets.SPLITS, help="images to train on and to validate on (small: 10,000 and 10,000)")
    add("--images", type=whole_number(1), metavar="N", help="train on the first N images of the training part alone (all)")
    add("--augment", choices=("flip",), help="mirror each image left to right with probability 0.5")
    add("--no-shuffle", dest="shuffle", action="store_false", help="keep the order of the images in every epoch")
    by = "whose mean and deviation (train); each-file: a fifth, as CIFAR-10's files; scalar: one of each for all pixels"
    add("--normalise", choices=NORMALISATIONS, help=by)
    add("--init", type=initial, metavar="I", help="he, xavier (variance 1/fan_in), or a standard deviation (he)")
    add("--init-bias", type=positive, metavar="STD", help="standard deviation of the first biases (0: they start at 0)")
    add("--lam", type=lambdas, metavar="L[,L...]", help="lambda of the L2 penalty, or one a layer (0)")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--batch-size", type=whole_number(1), metavar="N", help=f"images an update ({default.batch_size})")
    sizes.add_argument("--batches-per-epoch", type=whole_number(1), metavar="N", help="updates an epoch, instead")
    add("--schedule", choices=SCHEDULES, help="of the learning rate (cyclical)")
    add("--lr-min", type=positive, metavar="LR", help=f"cyclical: where each cycle starts and ends ({default.lr_min:g})")
    add("--lr-max", type=positive, metavar="LR", help=f"cyclical: the middle of each cycle ({default.lr_max:g})")
    add("--step-size", type=whole_number(1), metavar="N", help="cyclical: updates of half a cycle, n_s (5 epochs)")
    add("--lr", type=positive, metavar="LR", help=f"constant and step: the learning rate at first ({default.lr:g})")
    decay = parser.add_mutually_exclusive_group()
    decay.add_argument("--decay-every", type=whole_number(1), metavar="K", help="step: divide lr by 10 every K epochs")
    decay.add_argument("--decay-at", type=epochs, metavar="E,E,...", help="step: divide lr by 10 after these epochs")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--cycles", type=whole_number(1), metavar="N", help="cyclical: how long, in cycles (2)")
    length.add_argument("--epochs", type=whole_number(1), metavar="N", help="how long, in epochs (40 if not cyclical)")
    length.add_argument("--updates", type=whole_number(1), metavar="N", help="how long, in updates")
    add("--dtype", choices=("float32", "float64"), help="of all that is trained (float32)")
    add("--verify", choices=("subset", "full", "off"), help="entries of the gradient checked before the first update (subset)")
    add("--record-every", type=whole_number(1), metavar="N", help="updates between records (a tenth of a cycle, or an epoch)")
    add("--out", type=nonempty, metavar="DIR", help="the run's folder (runs/NETWORK-IMPLEMENTATION-1, -2, ...)")
    add("--resume", type=nonempty, metavar="DIR", help="go on with the run in this folder, as if it had never stopped")

    unset = object()
    flags = {a.dest: a.option_strings[0] if a.option_strings else "the network" for a in parser._actions if a.dest != "help"}
    options = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(flags, unset)))
    given = {name: value for name, value in vars(options).items() if value is not unset and value != []}
    if "resume" in given:
        for name in sorted(given.keys() - {"resume", *CHANGEABLE}):
            parser.error(f"--resume goes on with the settings of the run; drop {flags[name]}")
        return given
    for name in NETWORK_OPTIONS:
        setattr(options, name, given.pop(name, None))
    networks = chosen_networks(parser, given.pop("networks", []), options)
    if len(networks) != 1:
        parser.error(f"name one network to train: {', '.join(NAMED)}, or --hidden N,N,...")
    check_schedule(parser, given)
    return given | {"network": networks[0]}


def check_schedule(parser, given):
    schedule = given.get("schedule", "cyclical")
    for name, flag in (CYCLICAL | STEP | {"lr": "--lr"}).items():
        wrong = {"cyclical": name not in CYCLICAL, "constant": name != "lr", "step": name in CYCLICAL}[schedule]
        if name in given and wrong:
            parser.error(f"{flag} has no meaning for --schedule {schedule}")
    if schedule == "step" and not given.keys() & STEP:
        parser.error("--schedule step needs --decay-every K or --decay-at E,E,...")
    if given.get("lr_min", Settings.lr_min) > given.get("lr_max", Settings.lr_max):
        parser.error("--lr-min is over --lr-max")


def initial(text):
    try:
        weight_std(text, fan_in=1)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def nonempty(text):
    if not text:
        raise argparse.ArgumentTypeError("an empty name is no folder")
    return text


def epochs(text):
    return tuple(whole_number(1)(part) for part in text.split(","))
