"""Planted personal tokens: whose name, or which number, a vector's text contains.

Made-up names, phone numbers and account numbers are written into copies of texts, one into each text. The attacker
knows them and has seen each in some auxiliary texts, and says of each attacked text which one it contains.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from encoders.spec import Vector
from rawless.audit.leakage.attack import Finding, Records
from rawless.audit.leakage.logistic import fit

TOKENS = 30
"""A third each are names, phone numbers and account numbers."""
PER_TOKEN = (30, 10)
"""In how many auxiliary and attacked texts each is written at most."""
_SYLLABLES = ("ba", "vel", "mor", "tash", "kin", "dre", "lou", "shi", "gan", "pre", "zo", "ril", "ume", "nak", "fer")


def made_up_tokens(seed: int) -> list[str]:
    """Return the tokens: of each three a name, a phone number and an account number."""
    generator = np.random.default_rng(seed)

    def name() -> str:
        first, last = ("".join(generator.choice(_SYLLABLES, 3, replace=False)).capitalize() for _ in range(2))
        return f"{first} {last}"

    def digits(count: int) -> str:
        return "".join(str(digit) for digit in generator.integers(0, 10, count))

    made = [(name(), f"0{digits(3)} {digits(7)}", f"AC{digits(10)}") for _ in range(TOKENS // 3)]
    return [token for kinds in made for token in kinds]


def plant(texts: Sequence[str], per_token: int, seed: int, tokens: Sequence[str]) -> tuple[list[str], Records]:
    """Return copies of texts, each with one token after a random word, and the numbers of the tokens."""
    generator = np.random.default_rng(seed)
    count = min(len(texts), per_token * len(tokens))
    numbers = np.arange(count) % len(tokens)
    return [_with(texts[row], tokens[int(numbers[row])], generator) for row in range(count)], numbers


def _with(text: str, token: str, generator: np.random.Generator) -> str:
    words = text.split()
    place = int(generator.integers(0, len(words) + 1))
    return " ".join([*words[:place], token, *words[place:]])


class PlantedTokensAttack:
    """Says which of the tokens a text contains; `auxiliary` and `attacked` are the numbers of the planted ones."""

    name = "planted_tokens"

    def __init__(self, auxiliary: Records, attacked: Records) -> None:
        self._auxiliary, self._attacked = auxiliary, attacked

    def __call__(self, auxiliary: Vector, attacked: Vector) -> Sequence[Finding]:
        """See `Attack`."""
        numbers = np.unique(self._auxiliary)
        said = numbers[fit(auxiliary, self._auxiliary[:, None] == numbers).logits(attacked).argmax(axis=1)]
        return [Finding("planted_tokens_recall", partial(rate, said == self._attacked), 1 / len(numbers))]


def rate(hits: npt.NDArray[np.bool_], records: Records) -> float:
    """Return the share of hits in a sample of records."""
    return float(hits[records].mean())
