"""Searches of pairs: ranks among wrong answers only, and intervals over persons."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import label_ranking_average_precision_score

from rawless.heads.examples import Examples
from rawless.heads.fit import Rows
from rawless.lifecycle.searches import Searches, means, searches_of


def _searches(
    pairs: Sequence[tuple[str, str, bool]], vectors: dict[str, list[float]], persons: object = None
) -> Searches:
    lefts, rights, labels = zip(*pairs, strict=True)
    inputs = tuple(torch.tensor([vectors[event] for event in events]) for events in (lefts, rights))
    rows = Rows(inputs, torch.tensor(labels).long(), [f"{left}/{right}" for left, right, _ in pairs])
    facts = pd.DataFrame(index=range(len(pairs)))
    return searches_of(Examples(rows, facts, [*zip(lefts, rights, strict=True)], persons or [None] * len(pairs)))  # type: ignore[arg-type]


VECTORS = {"a": [2.0, 0.0], "b": [1.0, 0.3], "c": [1.0, 1.0], "d": [0.0, 1.0], "q": [1.0, 0.1], "r": [0.0, 3.0]}


def test_other_matches_and_the_query_itself_are_no_wrong_answers() -> None:
    pairs = [("q", "c", True), ("q", "a", True), ("r", "d", True), ("r", "b", False), ("a", "b", True)]
    searches = _searches(pairs, VECTORS)
    queries = torch.tensor([VECTORS[event] for event in searches.query_ids])

    ranks = searches.ranks(queries)

    # Of the documents a, b, c, d: `a` finds b at once, as it is no answer to itself; `b` is nearer to q than c.
    by_pair = {
        (searches.query_ids[query], document): rank
        for query, document, rank in zip(
            searches.query.tolist(), searches.document.tolist(), ranks.tolist(), strict=True
        )
    }
    assert by_pair == {("a", 1): 0, ("q", 0): 0, ("q", 2): 1, ("r", 3): 0}
    assert means(ranks) == {"recall@1": 0.75, "recall@10": 1.0, "mrr": 0.875}


def test_the_mean_reciprocal_rank_is_that_of_scikit_learn_where_each_query_has_one_document() -> None:
    generator = np.random.default_rng(0)
    vectors = {f"{kind}{n}": generator.standard_normal(4).tolist() for kind in "qd" for n in range(20)}
    searches = _searches([(f"q{n}", f"d{n}", True) for n in range(20)], vectors)
    queries = torch.tensor([vectors[event] for event in searches.query_ids])

    truth = torch.eye(20)[searches.document].numpy()
    cosines = (torch.nn.functional.normalize(queries, dim=1) @ searches.documents.T).numpy()
    assert means(searches.ranks(queries))["mrr"] == pytest.approx(label_ranking_average_precision_score(truth, cosines))


def test_intervals_are_drawn_over_persons_and_differences_are_paired() -> None:
    pairs = [(f"q{n:02}", "d", True) for n in range(40)]
    vectors = {"d": [1.0, 0.0]} | {f"q{n:02}": [1.0, 0.0] for n in range(40)}
    ranks, better = np.arange(40) % 2 * 20, np.zeros(40, np.int64)
    two, many = (
        _searches(pairs, vectors, [f"p{n % persons}" for n in range(40)]).measure(ranks, seed=0)["recall@10"]
        for persons in (2, 40)
    )

    assert (two.value, two.low, two.high) == (0.5, 0.0, 1.0)
    assert 0.3 < many.low < 0.5 < many.high < 0.7
    gain = _searches(pairs, vectors).measure(better, 0, ranks)["recall@1"]
    assert gain.value == 0.5
    assert gain.low > 0


def test_an_epoch_has_each_query_once_with_one_of_its_documents() -> None:
    pairs = [(f"q{n}", f"d{n % 3 + k}", True) for n in range(9) for k in range(2)]
    vectors = {name: [1.0, 0.0] for pair in pairs for name in pair[:2]}
    searches, generator = _searches(pairs, vectors), torch.Generator().manual_seed(0)

    epochs = [searches.one_pair_each(generator) for _ in range(20)]

    assert all(sorted(searches.query[epoch].tolist()) == list(range(9)) for epoch in epochs)
    assert {pair for epoch in epochs for pair in epoch.tolist()} == set(range(18))
