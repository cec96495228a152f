"""Bag-of-words inversion (Song and Raghunathan, 2020): which words a text contains, guessed from its vector.

One logistic model for each word is learned from auxiliary texts and their vectors. A text is said to contain a word if
the model's odds are above one threshold, the same for all words, which is tuned on auxiliary texts that were held out.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from encoders.spec import Vector
from rawless.audit.leakage.attack import Finding, Records
from rawless.audit.leakage.logistic import Truth, fit

MAX_WORDS = 5_000
"""The most frequent words are learned; others count as missed."""
FEWEST_TEXTS = 2
"""Auxiliary texts that must contain a word for it to be learned."""
CONTENT_SHARE = 0.02
"""A content word is in at most this share of the auxiliary texts, so that function words of any language are not."""
RARE_TEXTS = 5
"""A rare word is in at most so many auxiliary texts."""
_HELD_OUT = 10
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Scripts without spaces between words, such as Thai, kana and Han: each of their characters counts as a word."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:'[^\W_{_UNSPACED}]+)*")
_Counts = npt.NDArray[np.int64]


def words_of(text: str) -> frozenset[str]:
    """Return the distinct words of a text, in lower case."""
    return frozenset(_WORD.findall(text.lower()))


def shared_words(texts: Iterable[str]) -> int:
    """Return how many words are in enough texts to be learned."""
    counts = Counter(word for text in texts for word in words_of(text))
    return sum(count >= FEWEST_TEXTS for count in counts.values())


class Bags:
    """Which texts contain which words. Words that are in too few of the auxiliary texts are only counted."""

    def __init__(self, auxiliary: Sequence[str], attacked: Sequence[str]) -> None:
        words = [words_of(text) for text in auxiliary]
        others = [words_of(text) for text in attacked]
        texts = Counter(word for each in words for word in each)
        common = [word for word, count in texts.most_common(MAX_WORDS) if count >= FEWEST_TEXTS]
        column = {word: number for number, word in enumerate(common)}
        self.texts: _Counts = np.array([texts[word] for word in common], np.int64)
        """How many auxiliary texts contain each word, the most frequent first."""
        self.is_content: Truth = self.texts <= max(CONTENT_SHARE * len(words), RARE_TEXTS)
        self.auxiliary, self.attacked = _bag(words, column), _bag(others, column)
        self.unknown: _Counts = np.array([len(each - column.keys()) for each in others], np.int64)
        """How many words of each attacked text are not learned; all of them are content words."""

    def guessed(self, among: Truth) -> Truth:
        """Return the best guess without vectors: the same words of every attacked text, the most frequent of some."""
        texts = np.where(among, self.texts, 0)
        said = np.cumsum(among)  # the words are sorted by their frequency
        f1 = np.cumsum(texts) / (said * len(self.auxiliary) + max(texts.sum(), 1))
        best = int(np.argmax(f1)) if len(f1) else -1
        guess = among & (np.arange(len(among)) <= best)
        return np.broadcast_to(guess, self.attacked.shape)


def _bag(texts: Sequence[frozenset[str]], column: dict[str, int]) -> Truth:
    bag = np.zeros((len(texts), len(column)), np.bool_)
    for row, words in enumerate(texts):
        bag[row, [column[word] for word in words if word in column]] = True
    return bag


class Tally(NamedTuple):
    """For each attacked text, how many words it was said to contain, how many it contains, and how many are both."""

    hits: _Counts
    said: _Counts
    contained: _Counts

    @classmethod
    def of(cls, said: Truth, contained: Truth, unknown: _Counts | int = 0) -> "Tally":
        """Return the tally of guesses, of shape (n, words); `unknown` words are contained and cannot be guessed."""
        return cls((said & contained).sum(axis=1), said.sum(axis=1), contained.sum(axis=1) + unknown)

    def precision(self, records: Records) -> float:
        """Return the share of the guessed words that are right."""
        return _share(self.hits[records].sum(), self.said[records].sum())

    def recall(self, records: Records) -> float:
        """Return the share of the words that were guessed."""
        return _share(self.hits[records].sum(), self.contained[records].sum())

    def f1(self, records: Records) -> float:
        """Return the harmonic mean of both."""
        return _share(2 * self.hits[records].sum(), self.said[records].sum() + self.contained[records].sum())


class WordsAttack:
    """Recovers the words of texts from their vectors.

    `cross_domain` says that the attacked texts are of another domain than the auxiliary ones.
    """

    name = "words"

    def __init__(self, auxiliary: Sequence[str], attacked: Sequence[str], *, cross_domain: bool = False) -> None:
        self._bags = Bags(auxiliary, attacked)
        self._cross_domain = cross_domain

    def __call__(self, auxiliary: Vector, attacked: Vector) -> Sequence[Finding]:
        """See `Attack`."""
        bags, learned = self._bags, len(auxiliary) - len(auxiliary) // _HELD_OUT
        model = fit(auxiliary[:learned], bags.auxiliary[:learned])
        held_out, scores = model.logits(auxiliary[learned:]), model.logits(attacked)
        truth, every, content = bags.auxiliary[learned:], np.ones_like(bags.is_content), bags.is_content
        said, guessed = _said(truth, held_out, scores), bags.guessed(every)
        found, prior = (Tally.of(each, bags.attacked, bags.unknown) for each in (said, guessed))
        if self._cross_domain:
            return [_finding("words_cross_domain_f1", Tally.f1, found, prior)]
        findings = [
            _finding(f"words_{name}", measure, found, prior)
            for name, measure in (("precision", Tally.precision), ("recall", Tally.recall), ("f1", Tally.f1))
        ]
        said_content = _said(truth[:, content], held_out[:, content], scores[:, content])
        pair = (
            Tally.of(each, bags.attacked[:, content], bags.unknown)
            for each in (said_content, bags.guessed(content)[:, content])
        )
        findings.append(_finding("content_words_f1", Tally.f1, *pair))
        rare = bags.texts <= RARE_TEXTS
        pair = (Tally.of(each[:, rare], bags.attacked[:, rare]) for each in (said, guessed))
        return [*findings, _finding("rare_words_recall", Tally.recall, *pair)]


def _finding(metric: str, measure: Callable[[Tally, Records], float], found: Tally, prior: Tally) -> Finding:
    return Finding(metric, partial(measure, found), measure(prior, np.arange(len(prior.hits))))


def _said(truth: Truth, held_out: Vector, scores: Vector) -> Truth:
    """Return where scores reach the threshold that has the best F1 on held-out texts."""
    if not held_out.size:  # no word is of this kind
        return np.zeros(scores.shape, np.bool_)
    order = np.argsort(held_out, axis=None)[::-1]
    hits = np.cumsum(truth.reshape(-1)[order])
    f1 = hits / (np.arange(1, len(hits) + 1) + max(int(truth.sum()), 1))
    said: Truth = scores >= held_out.reshape(-1)[order[int(np.argmax(f1))]]
    return said


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
