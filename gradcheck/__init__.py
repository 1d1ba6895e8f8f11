"""Is the gradient of a cost right? It is compared with derivations of it that are independent of it.

`check` checks a pair of cost and gradient, `assert_gradients_match` does so in a test, `of_function` makes a pair of a
`torch.autograd.Function`, `check_network` checks a whole network.
"""

from gradcheck.api import assert_gradients_match, check, of_function
from gradcheck.derivations.chain import Chain
from gradcheck.errors import UserError
from gradcheck.result import CheckResult
from gradcheck.subject import ENTRYWISE, ORACLES
from gradcheck.subjects.network import check_network
from gradcheck.subjects.pair import Pair
from gradcheck.subjects.pair_file import load_pair
from gradcheck.subjects.relu_network import Layers
from gradcheck.verdict import overall

__version__ = "0.2.0"

__all__ = [
    "ENTRYWISE",
    "ORACLES",
    "Chain",
    "CheckResult",
    "Layers",
    "Pair",
    "UserError",
    "assert_gradients_match",
    "check",
    "check_network",
    "load_pair",
    "of_function",
    "overall",
]
