"""How well a labelled attribute is predicted from vectors, beyond what the metadata of a record already say.

Logistic models learn from 20, 100 and 1,000 labelled records. Their AUC (one class against the others, the mean over
the classes) is compared with that of the same models on metadata only, such as the length of a text.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from encoders.spec import Vector
from rawless.audit.leakage.attack import Finding, Records
from rawless.audit.leakage.logistic import Truth, fit

LABELLED = (20, 100, 1_000)
MAX_CLASSES = 10
"""The most frequent classes are judged."""
_DRAWS = {20: 5, 100: 3}
"""Which records are labelled matters when there are few, so the mean over some draws is taken."""


class AttributeAttack:
    """Predicts an attribute of records from their vectors.

    `metadata` are of shape (records, features), what is known of a record without its vector.
    """

    name = "attributes"

    def __init__(
        self, attribute: str, labels_auxiliary: Sequence[str], labels_attacked: Sequence[str],
        metadata_auxiliary: Vector, metadata_attacked: Vector, *, prefix: str = "attribute", seed: int = 0,
    ) -> None:  # fmt: skip
        self._code = f"{prefix}_{attribute}"
        classes = [label for label, _ in Counter(labels_auxiliary).most_common(MAX_CLASSES)]
        self._auxiliary, self._attacked = (
            np.array([[label == each for each in classes] for label in labels], np.bool_).reshape(len(labels), -1)
            for labels in (labels_auxiliary, labels_attacked)
        )
        self._metadata = metadata_auxiliary, metadata_attacked
        self._seed = seed

    def __call__(self, auxiliary: Vector, attacked: Vector) -> Sequence[Finding]:
        """See `Attack`."""
        findings = []
        for count in LABELLED:
            if count > len(auxiliary):
                continue
            generator = np.random.default_rng(self._seed)
            draws = [generator.permutation(len(auxiliary))[:count] for _ in range(_DRAWS.get(count, 1))]
            found, baseline = (
                [_Ranked(self._scores(*vectors, draw), self._attacked) for draw in draws]
                for vectors in ((auxiliary, attacked), self._metadata)
            )
            every = np.arange(len(attacked))
            findings += [
                Finding(f"{self._code}_{count}_auc", _Mean(found), _Mean(baseline)(every)),
                Finding(f"{self._code}_{count}_gain", _Gain(_Mean(found), _Mean(baseline)), 0.0),
            ]
        return findings

    def _scores(self, auxiliary: Vector, attacked: Vector, labelled: Records) -> Vector:
        return fit(auxiliary[labelled], self._auxiliary[labelled]).logits(attacked)


class _Ranked:
    """The AUC of scores over any sample of the records, the mean over the classes; equal scores count as half."""

    def __init__(self, scores: Vector, truth: Truth) -> None:
        self._records = len(scores)
        self._order = np.argsort(scores, axis=0)
        ordered = np.take_along_axis(scores, self._order, axis=0)
        self._truth = np.take_along_axis(truth, self._order, axis=0)
        pairs = [
            [np.searchsorted(column, column, side) for column in ordered.T] for side in ("left", "right")
        ]  # how many records have a lower score, and how many one that is not higher
        self._below, self._up_to = (np.array(each, np.intp).T for each in pairs)

    def __call__(self, records: Records) -> float:
        weights = np.bincount(records, minlength=self._records)[self._order]
        positive, negative = weights * self._truth, weights * ~self._truth
        passed = np.vstack([np.zeros_like(negative[:1]), np.cumsum(negative, axis=0)])
        outranked = np.take_along_axis(passed, self._below, 0) + np.take_along_axis(passed, self._up_to, 0)
        pairs = positive.sum(axis=0) * negative.sum(axis=0)
        known = pairs > 0
        won = (positive * outranked).sum(axis=0) / 2
        return float((won[known] / pairs[known]).mean()) if known.any() else 0.5


class _Mean:
    def __init__(self, draws: Sequence[_Ranked]) -> None:
        self._draws = draws

    def __call__(self, records: Records) -> float:
        return float(np.mean([draw(records) for draw in self._draws]))


class _Gain:
    def __init__(self, found: _Mean, baseline: _Mean) -> None:
        self._found, self._baseline = found, baseline

    def __call__(self, records: Records) -> float:
        return max(0.0, self._found(records) - self._baseline(records))
