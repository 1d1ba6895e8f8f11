"""The check of a hand-derived gradient against independent derivations. Nothing in here knows a backward pass."""

from gradcheck.chain import Chain
from gradcheck.check import ORACLES, NetworkResult, check
from gradcheck.verdict import overall

__all__ = ["ORACLES", "Chain", "NetworkResult", "check", "overall"]
