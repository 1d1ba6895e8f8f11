"""The check of a hand-derived gradient against independent derivations. No derivation runs a backward pass of ours.

The diagnosis alone knows what batch norm's looks like: it says which path of it is missing.
"""

from gradcheck.api import assert_gradients_match, check, load_pair
from gradcheck.examine import ENTRYWISE, ORACLES, CheckResult
from gradcheck.subjects.layered import Layers
from gradcheck.subjects.network import check_network
from gradcheck.subjects.pair import Pair, of_function
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
