"""What all commands share: one-line errors, exit codes, and the options for seed, device and data."""

import argparse
import os
import sys
import traceback

import torch

from errors import UserError
from training.data import SOURCES

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


def add_common_options(parser):
    """--seed, --device, --data and --data-dir."""
    parser.add_argument("--seed", type=whole_number(0), default=0, help="draws parameters, images and batches (0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where PyTorch runs (auto)")
    parser.add_argument("--data", choices=SOURCES, default="synthetic", help="images; synthetic needs no download (synthetic)")
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="where cifar10 or folder is (data)")


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


def run(main):
    """Calls `main(arguments) -> exit code` as a command: errors of the user in one line, Ctrl-C without a traceback."""
    program = os.path.basename(sys.argv[0])
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        code = 2
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
