"""The check of a hand-derived gradient against independent derivations. No derivation runs a backward pass of ours.

The diagnosis alone knows what batch norm's looks like: it says which path of it is missing.
"""

from gradcheck.anyone import assert_gradients_match, check, load_pair
from gradcheck.check import ENTRYWISE, ORACLES, CheckResult
from gradcheck.layered import Layers
from gradcheck.network import check_network
from gradcheck.pair import Pair, of_function
from gradcheck.verdict import overall

__all__ = [
    "ENTRYWISE",
    "ORACLES",
    "CheckResult",
    "Layers",
    "Pair",
    "assert_gradients_match",
    "check",
    "check_network",
    "load_pair",
    "of_function",
    "overall",
]
