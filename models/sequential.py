"""A network as a plain `nn.Sequential`, and back: how state moves to and from ordinary PyTorch code."""

from dataclasses import replace
from itertools import zip_longest

import torch
from torch import nn

from gradcheck.arrays import Array
from gradcheck.errors import UserError
from networks import Network


def build_sequential(network: Network) -> nn.Sequential:
    """The network as a plain `nn.Sequential`, with PyTorch's own initial numbers; its random generator stays where it is."""
    modules: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        for layer in range(1, network.depth + 1):
            modules.append(nn.Linear(network.sizes[layer - 1], network.sizes[layer]))
            if layer < network.depth:
                if network.batch_norm:
                    modules.append(nn.BatchNorm1d(network.sizes[layer], eps=network.eps, momentum=network.momentum))
                modules.append(nn.ReLU())
    return nn.Sequential(*modules)


def state_names(network: Network) -> dict[str, str]:
    """Our name of each parameter and statistic, and its `state_dict` key in `build_sequential(network)`."""
    linear_names = {"W": "weight", "b": "bias"}
    norm_names = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    names: dict[str, str] = {}
    modules_a_layer = 3 if network.batch_norm else 2
    for layer in range(1, network.depth + 1):
        position = (layer - 1) * modules_a_layer
        names |= {f"{kind}{layer}": f"{position}.{name}" for kind, name in linear_names.items()}
        if network.batch_norm and layer < network.depth:
            names |= {f"{kind}{layer}": f"{position + 1}.{name}" for kind, name in norm_names.items()}
    order = network.parameter_shapes() | network.statistic_shapes()
    return {name: names[name] for name in order}


def from_sequential(modules: nn.Sequential, loss: str = "softmax") -> tuple[Network, dict[str, Array]]:
    """The network that an `nn.Sequential` of `nn.Linear`, `nn.BatchNorm1d` and `nn.ReLU` is, and its state as arrays.

    Raises UserError where the modules are not such a network, and names the module. To go the other way, take
    `models.MLP(network, state).layers`.
    """
    linears = [module for module in modules if isinstance(module, nn.Linear)]
    if not linears:
        raise UserError("the nn.Sequential has no nn.Linear in it")
    hidden = tuple(linear.out_features for linear in linears[:-1])
    network = Network("sequential", hidden, loss=loss, inputs=linears[0].in_features, outputs=linears[-1].out_features)
    for module in modules:
        if isinstance(module, nn.BatchNorm1d):
            if module.momentum is None:
                raise UserError(f"{module}: batch norm needs a momentum from 0 to 1")
            network = replace(network, batch_norm=True, eps=module.eps, momentum=module.momentum)
            break
    for position, (module, expected) in enumerate(zip_longest(modules, build_sequential(network))):
        # The printed form of a module holds its type, its sizes and its constants.
        if repr(module) != repr(expected):
            raise UserError(f"module {position} is {module}; a network of this shape has {expected} there")
    own = modules.state_dict()
    return network, {name: own[own_name].numpy(force=True).copy() for name, own_name in state_names(network).items()}
