"""Few-shot alignment, after ALGEN (Chen et al., ACL 2025): a linear map into a space that the attacker can read.

The attacker has few pairs of a vector and its text, and vectors of his own for any text. The map from the attacked
space to his own is a least-squares fit on the pairs. He then takes the text of a public corpus that is nearest to a
mapped vector, and its words.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from encoders.spec import Vector
from rawless.audit.leakage.attack import Finding
from rawless.audit.leakage.linkage import nearest, unit
from rawless.audit.leakage.planted import rate
from rawless.audit.leakage.words import Bags, Tally

PAIRS = (1, 10, 100, 1_000)
DIMENSIONS = 256
"""Of the attacker's space, if it is computed from the words of the corpus."""
_RIDGE = 1e-2
"""Of the mean variance, so that as many pairs as dimensions do no harm."""


class AlignmentAttack:
    """Maps vectors into the attacker's space, of which the vectors of all texts are given; the corpus is auxiliary."""

    name = "alignment"

    def __init__(
        self, auxiliary: Sequence[str], attacked: Sequence[str], own_auxiliary: Vector, own_attacked: Vector
    ) -> None:
        self._bags = Bags(auxiliary, attacked)
        self._corpus, self._candidates = unit(own_auxiliary), unit(own_attacked)

    def __call__(self, auxiliary: Vector, attacked: Vector) -> Sequence[Finding]:
        """See `Attack`."""
        findings = []
        every = np.arange(len(attacked))
        bags = self._bags
        prior = Tally.of(bags.guessed(np.ones_like(bags.is_content)), bags.attacked, bags.unknown).f1(every)
        for pairs in PAIRS:
            if pairs > len(auxiliary):
                continue
            mapped = _map(auxiliary[:pairs], self._corpus[:pairs], attacked)
            words = self._tally(nearest(mapped, self._corpus))
            hits = nearest(mapped, self._candidates) == every
            findings += [
                Finding(f"alignment_{pairs}_words_f1", partial(Tally.f1, words), prior),
                Finding(f"alignment_{pairs}_retrieval", partial(rate, hits), 1 / len(attacked)),
            ]
        return findings

    def _tally(self, texts: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Tally:
        return Tally.of(self._bags.auxiliary[texts], self._bags.attacked, self._bags.unknown)


def _map(vectors: Vector, own: Vector, attacked: Vector) -> Vector:
    """Return attacked vectors in the attacker's space, by ridge regression on pairs."""
    x, y = vectors.astype(np.float64), own.astype(np.float64)
    gram = x @ x.T  # in its dual form, since there may be fewer pairs than dimensions
    gram[np.diag_indices_from(gram)] += _RIDGE * gram.trace() / len(x)
    return np.asarray(attacked @ (x.T @ np.linalg.solve(gram, y)), np.float32)


def space_of_words(corpus: Sequence[str], texts: Sequence[str]) -> tuple[Vector, Vector]:
    """Return vectors of a corpus and of other texts: TF-IDF of the corpus's words, reduced by an SVD."""
    bags = Bags(corpus, texts)
    weight = 1 + np.log(len(corpus) / bags.texts)
    matrices = [scipy.sparse.csr_matrix(bag * weight) for bag in (bags.auxiliary, bags.attacked)]
    dimensions = min(DIMENSIONS, min(matrices[0].shape) - 1)
    start = np.ones(min(matrices[0].shape))
    _, _, axes = scipy.sparse.linalg.svds(matrices[0], dimensions, v0=start)
    own, others = (np.asarray(matrix @ axes.T, np.float32) for matrix in matrices)
    return own, others
