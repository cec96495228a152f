"""Linkage: whether a content that somebody has, or a slightly changed one, finds its own row among all rows."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from encoders.spec import Vector
from rawless.audit.leakage.attack import Finding
from rawless.audit.leakage.planted import rate

_BLOCK = 1_000


class LinkageAttack:
    """Finds the row with the highest cosine among the attacked rows and `others`.

    It is given as `auxiliary` the vector of what the attacker has of each attacked row: the same, or a changed content.
    """

    name = "linkage"

    def __init__(self, others: Vector, *, changed: bool) -> None:
        self._others = others
        self._metric = "linkage_changed" if changed else "linkage_same"

    def __call__(self, auxiliary: Vector, attacked: Vector) -> Sequence[Finding]:
        """See `Attack`."""
        rows = unit(np.concatenate([attacked, self._others]))
        hits = nearest(auxiliary, rows) == np.arange(len(attacked))
        return [Finding(self._metric, partial(rate, hits), 1 / len(rows))]


def unit(vectors: Vector) -> Vector:
    """Return vectors with the length 1; one of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Vector = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return found


def nearest(queries: Vector, units: Vector) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return for each query the position of the unit vector with the highest cosine."""
    blocks = [queries[start : start + _BLOCK] for start in range(0, len(queries), _BLOCK)]
    return np.concatenate([(block @ units.T).argmax(axis=1) for block in blocks])


def changed_text(text: str, generator: np.random.Generator, words: Sequence[str]) -> str:
    """Return a text with one change: two letters swapped, upper case, an added mark, or a word replaced by another."""
    kind = generator.integers(0, 4)
    parts = text.split()
    place = int(generator.integers(0, max(len(parts), 1)))
    if kind == 0 and parts and len(parts[place]) > 1:
        word = parts[place]
        at = int(generator.integers(0, len(word) - 1))
        parts[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return " ".join(parts)
    if kind == 1:
        return text.upper()
    if kind == 2 and len(parts) > 1:
        parts[place] = words[int(generator.integers(0, len(words)))]
        return " ".join(parts)
    return f"{text} !"
