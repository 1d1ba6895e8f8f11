"""What all commands share: one-line errors, exit codes, and the options for seed, device and data."""

import argparse
import os
import signal
import sys
import traceback
from contextlib import contextmanager
from dataclasses import replace

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from errors import UserError
from networks import LOSSES, NAMED, Network, lambda_per_layer
from reporting.tables import comparison_summary, network_table, show
from reporting.training import verification_sentence
from training.data import SOURCES
from training.loop import Diverged

# What a command says with its exit code; 2 is that it could not run.
EXIT_CODES = {"pass": 0, "fail": 1, "undecided": 3}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr, with exit code 2."""

    def __init__(self, description, examples):
        super().__init__(
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def add_common_options(parser, data="synthetic"):
    """--seed, --device, --data and --data-dir; `data` says what --data is where it is not given."""
    parser.add_argument("--seed", type=whole_number(0), default=0, help="draws parameters, images and batches (0)")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where to compute; auto is a GPU, if there is one, for PyTorch alone",
    )
    parser.add_argument("--data", choices=SOURCES, default="synthetic", help=f"images; synthetic needs no download ({data})")
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="where cifar10 or folder is (data)")


# What `add_network_options` adds.
NETWORK_OPTIONS = ("hidden", "batch_norm", "loss", "bn_eps", "bn_momentum")


def add_network_options(parser):
    """--hidden, --batch-norm and --loss, for a network that has no name here; batch norm's two constants for any."""
    parser.add_argument("--hidden", type=sizes, metavar="N,N,...", help="another network: its hidden layers")
    parser.add_argument("--batch-norm", action="store_true", help="with --hidden: batch norm before each ReLU")
    parser.add_argument("--loss", choices=LOSSES, help="with --hidden: softmax cross-entropy (default) or sigmoid")
    eps, momentum = Network.eps, Network.momentum
    parser.add_argument("--bn-eps", type=positive, metavar="E", help=f"batch norm: added to the variance ({eps:g})")
    parser.add_argument(
        "--bn-momentum", type=share, metavar="M", help=f"batch norm: weight of a batch in the running statistics ({momentum:g})"
    )


def chosen_networks(parser, names, options):
    """The networks of `names`, or the one that the network options describe."""
    unknown = [name for name in names if name not in NAMED]
    if unknown:
        parser.error(f"unknown network {unknown[0]!r}; choose from {', '.join(NAMED)}, or --hidden N,N,...")
    if options.hidden is None:
        if options.batch_norm or options.loss:
            parser.error("--batch-norm and --loss describe a network of your own: give --hidden N,N,... too")
        return with_constants(parser, [network for network in NAMED.values() if network.name in names], options)
    if names:
        parser.error("--hidden describes one network of your own: give either names or --hidden")
    loss = options.loss or "softmax"
    name = (
        "-".join(map(str, options.hidden)) + ("-bn" if options.batch_norm else "") + ("-sigmoid" if loss == "sigmoid" else "")
    )
    return with_constants(parser, [Network(name, options.hidden, bool(options.batch_norm), loss)], options)


def with_constants(parser, networks, options):
    """The networks with --bn-eps and --bn-momentum, where they are given."""
    given = {"eps": options.bn_eps, "momentum": options.bn_momentum}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not any(network.batch_norm for network in networks or NAMED.values()):
        parser.error(f"--bn-{next(iter(given))} has no meaning for networks without batch norm")
    return [replace(network, **given) if network.batch_norm else network for network in networks]


def sizes(text):
    return tuple(whole_number(1)(part) for part in text.split(","))


def lambdas(text):
    """An argparse type: "0.01" is a number for all layers, "0.005,0.01" one a layer."""
    try:
        per_layer = tuple(float(part) for part in text.split(","))
        lambda_per_layer(per_layer, len(per_layer))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not lambda: numbers from 0 to 1e100, as 0.01 or 0.005,0.01") from error
    return per_layer if len(per_layer) > 1 else per_layer[0]


def positive(text):
    """An argparse type: a number over 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number over 0")
    return number


def share(text):
    """An argparse type: a number over 0 and up to 1."""
    number = positive(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is over 1")
    return number


def whole_number(smallest, largest=2**32 - 1):
    """An argparse type: a whole number from `smallest` to `largest`, by default the largest seed of NumPy's RandomState."""

    def parse(text):
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if not smallest <= number <= largest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {smallest} to {largest}")
        return number

    return parse


def find_device(name):
    """ "cpu" or "cuda" for auto, cpu or cuda. Raises UserError where CUDA is asked for and not there."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    return "cuda" if available and name != "cpu" else "cpu"


def device_of(settings):
    """ "auto" is a GPU for PyTorch where there is one; NumPy by hand goes there (with CuPy) only when told to."""
    by_hand = "manual" in settings.twins
    return find_device("cpu" if settings.device == "auto" and by_hand else settings.device)


def progress_bar(*columns):
    """On stderr, so that standard output holds the result alone; gone when the work is done. `columns` precede the time."""
    console = Console(file=sys.stderr)
    shown = TextColumn("{task.description}"), BarColumn(), *columns, TimeRemainingColumn()
    return Progress(*shown, console=console, transient=True, disable=not console.is_terminal)


def verified(started, quiet=False):
    """Whether no entry of a run's gradient is wrong: said in a line unless `quiet`; shown as compare.py does where one is."""
    if started.settings.verify == "off":
        show("[bold yellow]--verify off: THE GRADIENT IS NOT VERIFIED; nothing says that this backward pass is right[/]")
        return True
    with progress_bar() as bar:
        task = bar.add_task("verifying the gradient", total=None)
        result = started.verify(lambda entries: bar.advance(task, entries))
    if result.verdict == "pass":
        if not quiet:
            show(f"[green]verified:[/] {verification_sentence(result.as_json())}")
        return True
    show(network_table(result.as_json()), *comparison_summary({"networks": [result.as_json()], **result.as_json()}))
    return result.verdict != "fail"


@contextmanager
def interruptible():
    """Ctrl-C (and SIGTERM) inside only make the function that this yields return true; a second Ctrl-C interrupts."""
    received = []

    def receive(number, frame):
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signals = signal.SIGINT, signal.SIGTERM
    previous = [signal.signal(number, receive) for number in signals]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)


def run(main):
    """Calls `main(arguments) -> exit code` as a command: errors of the user in one line, Ctrl-C without a traceback."""
    program = os.path.basename(sys.argv[0])
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        code = 2
    except Diverged as diverged:
        print(f"{program}: {diverged}", file=sys.stderr)
        code = EXIT_CODES["fail"]
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        code = 130
    except MemoryError:
        print(f"{program}: out of memory; take a smaller --batch-size or network", file=sys.stderr)
        code = 2
    except OSError as error:
        # Nobody reads standard output any more (`| head`), or it is full. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141 if isinstance(error, BrokenPipeError) else 2
        if code == 2:
            print(f"{program}: the result could not be written or the data not read: {error}", file=sys.stderr)
    except Exception:
        # A fault of ours. Its exit code must not be 1, which says that a gradient is wrong.
        traceback.print_exc()
        code = 2
    sys.exit(code)
