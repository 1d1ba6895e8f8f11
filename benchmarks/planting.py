"""How a bug is planted in a hand-written backward pass, and how a diagnosis of it is judged.

A bug stands in the place of one function of `manual/`, in every layer or in a single one, while its context lasts. It is
planted by layer and not by size, so it works in any network of the same depth: the tests take small ones.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar
from unittest.mock import patch

from manual import layers, losses, passes

# A function in the place of one of `manual/`.
Wrong = TypeVar("Wrong", bound=Callable[..., Any])

# Where a bug can stand: the function, and the layers that one backward pass calls it for, the last one first.
SITES: dict[str, tuple[ModuleType, str, Callable[[int], range]]] = {
    "softmax": (losses, "softmax_cross_entropy_backward", lambda depth: range(depth, depth - 1, -1)),
    "sigmoid": (losses, "binary_cross_entropy_backward", lambda depth: range(depth, depth - 1, -1)),
    "penalty": (losses, "l2_penalty_backward", lambda depth: range(depth, 0, -1)),
    "linear": (layers, "linear_backward", lambda depth: range(depth, 0, -1)),
    "input": (layers, "linear_backward_input", lambda depth: range(depth, 1, -1)),
    "relu": (layers, "relu_backward", lambda depth: range(depth - 1, 0, -1)),
    "norm": (layers, "batch_norm_backward", lambda depth: range(depth - 1, 0, -1)),
    "backward": (passes, "backward", lambda depth: range(depth, depth - 1, -1)),
}


@dataclass(frozen=True)
class Bug:
    """A wrong backward pass.

    `network` is a name of `networks.NAMED`, `tensors` are those whose gradient it makes wrong. `cause` maps a tensor to words
    that its diagnosis has to hold; it is empty where no form of the error tells what the bug is. `wrong(original, *arguments)`
    takes the place of the function at `site` in `layer`, or in each layer if that is None.
    """

    name: str
    network: str
    tensors: frozenset[str]
    cause: dict[str, str]
    site: str
    layer: int | None
    wrong: Callable[..., Any]

    @contextmanager
    def planted(self, depth: int) -> Iterator[None]:
        """Inside, the backward pass of networks of this depth has the bug."""
        module, name, order_of_calls = SITES[self.site]
        original, order = getattr(module, name), order_of_calls(depth)
        takes = [parameter for parameter in inspect.signature(original).parameters if parameter != "out"]
        calls = 0

        def planted(*arguments: Any) -> Any:
            nonlocal calls
            layer = order[calls % len(order)]
            calls += 1
            arguments = arguments[: len(takes)]
            return original(*arguments) if self.layer not in (None, layer) else self.wrong(original, *arguments)

        with patch.object(module, name, planted):
            yield

    def judge(self, diagnoses: Mapping[str, str | None]) -> str:
        """How right the sentences are, {tensor: sentence or None} for the tensors found wrong.

        "wrong" where one sentence does not hold the cause, whatever the others say; "none" where there is no sentence; "right"
        where each tensor of `cause` has one, else "part".
        """
        said = {tensor: sentence for tensor, sentence in diagnoses.items() if sentence}
        for tensor, sentence in said.items():
            words = {self.cause[tensor]} if tensor in self.cause else set(self.cause.values())
            if not any(each in sentence for each in words):
                return "wrong"
        if not said:
            return "none"
        return "right" if self.cause.keys() <= said.keys() else "part"


def planter(catalogue: dict[str, Bug]) -> Callable[..., Callable[[Wrong], Wrong]]:
    """A decorator that adds a function `wrong(original, *arguments)` to the dict `catalogue` as a Bug.

    `tensors` are names with blanks between; `cause` is as in `Bug`, or words for all of them, or None.
    """

    def bug(
        network: str, site: str, tensors: str, cause: dict[str, str] | str | None = None, layer: int | None = None
    ) -> Callable[[Wrong], Wrong]:
        names = frozenset(tensors.split())
        causes = cause if isinstance(cause, dict) else dict.fromkeys(names, cause) if cause else {}

        def add(wrong: Wrong) -> Wrong:
            catalogue[wrong.__name__] = Bug(wrong.__name__, network, names, causes, site, layer, wrong)
            return wrong

        return add

    return bug


def down_from(layer: int, batch_norm: bool = False) -> str:
    """The tensors of a hidden layer and of those below: what a wrong gradient behind its linear map reaches.

    Batch norm takes the mean away, and the gradient of a bias before it is 0 whatever comes from above.
    """
    kinds = ("W", "gamma", "beta") if batch_norm else ("W", "b")
    return " ".join(f"{kind}{below}" for below in range(1, layer + 1) for kind in kinds)
