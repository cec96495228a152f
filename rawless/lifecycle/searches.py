"""Searches with known answers: queries, the stored vectors of the documents that they search, and which match."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rawless.heads.examples import Examples
from rawless.heads.kinds.query_transform import ROUNDING
from rawless.heads.metrics import Array, Metric, bootstrap

RECALL, MRR = "recall@10", "mrr"
_ROWS = 256
"""Queries that are compared with all documents at a time."""


@dataclass(frozen=True)
class Searches:
    """The searches of one split: each matching pair is one, for its document among all documents of the split."""

    query_ids: tuple[str, ...]
    """The event of each query."""
    documents: Tensor
    """The stored vectors of all documents, scaled to length one, of shape (documents, dimension)."""
    query: Tensor
    """The index of each pair's query, sorted."""
    document: Tensor
    """The index of each pair's document."""
    itself: Tensor
    """For each query the index of the document that is the same event, or -1: it is no answer."""
    groups: tuple[str, ...]
    """The person of each pair's query if known, else its event: what intervals are drawn over."""

    def __len__(self) -> int:
        return len(self.query)

    def one_pair_each(self, generator: torch.Generator) -> Tensor:
        """Return one pair of each query, drawn at random, in random order."""
        shuffled = torch.randperm(len(self), generator=generator)
        places = torch.full((len(self.query_ids),), len(self))
        places.scatter_reduce_(0, self.query[shuffled], torch.arange(len(self)), "amin")
        return shuffled[places[torch.randperm(len(places), generator=generator)]]

    def left_out(self, pairs: Tensor, candidates: Tensor) -> Tensor:
        """Return which candidate documents are no wrong answers to the queries of some pairs.

        They match the query, too, or are the query itself. Of shape (pairs, candidates).
        """
        size, queries = len(self.documents), self.query[pairs]
        matching = torch.unique(self.query * size + self.document)
        wanted = queries[:, None] * size + candidates
        found = torch.searchsorted(matching, wanted).clamp_max(len(matching) - 1)
        left_out: Tensor = (matching[found] == wanted) | (self.itself[queries][:, None] == candidates)
        return left_out

    def ranks(self, vectors: Tensor) -> Array:
        """Return for each pair how many documents that do not match its query are nearer to it than its own.

        `vectors` are those of the queries, of shape (queries, dimension).
        """
        directions = functional.normalize(vectors.float(), dim=1)
        everything = torch.arange(len(self.documents))
        ranks = []
        for pairs in torch.split(torch.arange(len(self)), _ROWS):
            cosines = directions[self.query[pairs]] @ self.documents.T
            own = cosines[torch.arange(len(pairs)), self.document[pairs]]
            wrong = cosines.masked_fill(self.left_out(pairs, everything), -torch.inf)
            ranks.append((wrong > own[:, None] + ROUNDING).sum(1))
        result: Array = torch.cat(ranks).numpy()
        return result

    def measure(self, ranks: Array, seed: int, other: Array | None = None) -> dict[str, Metric]:
        """Return the measures of ranks, or how much higher they are than those of other ranks, with intervals.

        Intervals are drawn over persons, or over queries where persons are not known.
        """
        values = _values(ranks)
        if other is not None:
            values = {name: each - _values(other)[name] for name, each in values.items()}
        numbers = np.unique(np.array(self.groups), return_inverse=True)[1]
        counts = np.bincount(numbers)
        sums = [np.bincount(numbers, each) for each in values.values()]

        def means(counts: Array, *sums: Array) -> Mapping[str, float]:
            return {name: float(each.sum() / counts.sum()) for name, each in zip(values, sums, strict=True)}

        return {metric.name: metric for metric in bootstrap(means, counts, *sums, seed=seed)}


def means(ranks: Array) -> dict[str, float]:
    """Return the measures of ranks."""
    return {name: float(each.mean()) for name, each in _values(ranks).items()}


def _values(ranks: Array) -> dict[str, Array]:
    return {"recall@1": (ranks < 1) * 1.0, RECALL: (ranks < 10) * 1.0, MRR: 1 / (ranks + 1.0)}


def searches_of(examples: Examples) -> Searches:
    """Return the searches of the rows of pairs that a query transform is trained on."""
    rows = examples.rows
    matching = rows.labels.bool().numpy()
    lefts, rights = (np.array([pair[side] for pair in examples.events], dtype=object) for side in (0, 1))
    documents, first = np.unique(rights, return_index=True)
    queries, query = np.unique(lefts[matching], return_inverse=True)
    order = np.argsort(query, kind="stable")
    numbers = {event: number for number, event in enumerate(documents)}
    persons = [person or event for person, event in zip(examples.persons, lefts, strict=True)]
    chosen = np.flatnonzero(matching)[order]
    return Searches(
        query_ids=tuple(queries),
        documents=functional.normalize(rows.inputs[1][torch.from_numpy(first)], dim=1),
        query=torch.from_numpy(query[order]),
        document=torch.tensor([numbers[rights[row]] for row in chosen], dtype=torch.int64),
        itself=torch.tensor([numbers.get(event, -1) for event in queries], dtype=torch.int64),
        groups=tuple(persons[row] for row in chosen),
    )
