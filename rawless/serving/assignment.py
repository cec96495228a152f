"""Assignment of callers to the arms of an experiment: deterministic, without shared state.

The hash has a secret key, so that a caller cannot compute which assignment key or id gets which arm.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping

PURPOSE = "arms of experiments"
"""For which the secret is derived from the pseudonym key."""


def assign_arm(secret: bytes, experiment: str, key: str, arms: Mapping[str, float]) -> str:
    """Return the arm of a key, drawn with probability proportional to the arms' weights.

    Weighted rendezvous hashing (Schindelhauer and Schomaker, 2005): when the weight of one arm changes, keys only move
    to or from that arm.
    """
    if len(arms) == 1:
        return next(iter(arms))
    return max(sorted(arms), key=lambda arm: -arms[arm] / math.log(_uniform(secret, experiment, arm, key)))


def _uniform(secret: bytes, *parts: str) -> float:
    """Return a keyed hash of the parts, uniform in the open interval (0, 1)."""
    joined = b"".join(hashlib.sha256(part.encode()).digest() for part in parts)
    number = int.from_bytes(hmac.digest(secret, joined, "sha256")[:8], "big")
    return ((number >> 12) + 0.5) / 2**52  # 52 bits, which a float represents exactly
