"""Options that several commands take: network, data, device and seed, and what they mean."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gradcheck.command import Parser, positive, whole_number
from gradcheck.errors import UserError
from gradcheck.per_layer import lambda_per_layer
from lab.data.datasets import SOURCES
from networks import LOSSES, NAMED, Network


def add_common_options(parser: Parser, data: str = "synthetic") -> None:
    """--seed, --device, --data and --data-dir; `data` says in the help what --data is where it is not given."""
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


def add_network_options(parser: Parser) -> None:
    """--hidden, --batch-norm and --loss, for a network that has no name here; the two constants of batch norm for any."""
    parser.add_argument("--hidden", type=sizes, metavar="N,N,...", help="a network of your own: the units of its hidden layers")
    parser.add_argument("--batch-norm", action="store_true", help="with --hidden: batch norm before each ReLU")
    parser.add_argument("--loss", choices=LOSSES, help="with --hidden: softmax cross-entropy (default) or sigmoid")
    eps, momentum = Network.eps, Network.momentum
    parser.add_argument("--bn-eps", type=positive, metavar="E", help=f"batch norm: added to the variance ({eps:g})")
    parser.add_argument(
        "--bn-momentum", type=share, metavar="M", help=f"batch norm: weight of a batch in the running statistics ({momentum:g})"
    )


def chosen_networks(parser: Parser, names: Sequence[str], options: argparse.Namespace) -> list[Network]:
    """The networks of `names`, or the one that the network options describe. Ends the command where they describe none."""
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


def with_constants(parser: Parser, networks: Sequence[Network], options: argparse.Namespace) -> list[Network]:
    """The networks with --bn-eps and --bn-momentum, where they are given."""
    constants = {"eps": options.bn_eps, "momentum": options.bn_momentum}
    given: dict[str, Any] = {name: value for name, value in constants.items() if value is not None}
    if given and not any(network.batch_norm for network in networks or NAMED.values()):
        parser.error(f"--bn-{next(iter(given))} has no meaning for networks without batch norm")
    return [replace(network, **given) if network.batch_norm else network for network in networks]


def sizes(text: str) -> tuple[int, ...]:
    """An argparse type: the units of each hidden layer, as 50,30."""
    return tuple(whole_number(1)(part) for part in text.split(","))


def lambdas(text: str) -> float | tuple[float, ...]:
    """An argparse type: 0.01 is one number for all layers, 0.005,0.01 is one a layer."""
    try:
        per_layer = tuple(float(part) for part in text.split(","))
        lambda_per_layer(per_layer, len(per_layer))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not lambda: numbers from 0 to 1e100, as 0.01 or 0.005,0.01") from error
    return per_layer if len(per_layer) > 1 else per_layer[0]


def share(text: str) -> float:
    """An argparse type: a number over 0 and up to 1."""
    number = positive(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is over 1")
    return number


def find_device(name: str) -> str:
    """ "cpu" or "cuda" for auto, cpu or cuda. Raises UserError where CUDA is asked for and not there."""
    if name == "cpu":
        return name
    import torch

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    return "cuda" if available else "cpu"
