"""Graphs over many events find the same as comparing all, or are not used."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.spec import EncoderSpec
from rawless.serving import index_store, neighbour_graph
from rawless.serving.index_store import Built, IndexStore
from rawless.serving.neighbour_graph import NeighbourGraph, Recall
from rawless.serving.responses import Tower
from rawless.serving.vector_index import CANDIDATES, VectorIndex

Matrix = npt.NDArray[np.float32]


def clustered(rows: int, dimension: int, seed: int = 0) -> Matrix:
    """Vectors of various lengths in clusters, as real embeddings are."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((rows // 100, dimension)).astype(np.float32)
    near = 0.5 * chance.standard_normal((rows, dimension)).astype(np.float32)
    vectors: Matrix = (centres[chance.integers(0, len(centres), rows)] + near) * chance.uniform(0.5, 2, (rows, 1))
    return vectors.astype(np.float32)


def make_index(vectors: Matrix) -> VectorIndex:
    ids = np.array([f"e-{number:06}" for number in range(len(vectors))])
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), np.float32(1e-12))
    return VectorIndex("a" * 24, "space", ids, vectors, lengths, "space")


def with_graph(index: VectorIndex) -> tuple[VectorIndex, Recall]:
    graph = NeighbourGraph(index.vectors, index.lengths)
    return index._replace(graph=graph), graph.tune(CANDIDATES)


@dataclass
class Store:
    """A store with one large index in the place of the one that it would load."""

    store: IndexStore
    index: VectorIndex
    built: list[Built]

    def now(self) -> VectorIndex:
        return self.store.get("uploads", "space")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(index_store, "GRAPH_ROWS", 3000)
    built: list[Built] = []
    store, index = IndexStore(["uploads"], None, on_built=built.append), make_index(clustered(3000, 16))
    store._indexes["uploads"] = {"space": index, "tower": index}
    return Store(store, index, built)


def matches(index: VectorIndex, query: Matrix, tower: EncoderSpec, top: int = 10) -> list[tuple[str, float]]:
    ranking = index.rank_by_cosine(Tower.of(tower), query, top)
    return [(match.event_id, round(match.cosine, 5)) for match in ranking.matches]


def test_a_large_index_gets_a_graph_that_answers_the_same_for_all_its_encoders(
    store: Store, tiny_sealed: EncoderSpec
) -> None:
    (message,) = store.store.add_graphs()

    index = store.now()
    assert index.graph is not None
    assert store.store.get("uploads", "tower") is index
    assert message.startswith("The index uploads is searched by a graph, which finds ")
    assert (store.built[-1].events, store.built[-1].recall.is_enough) == (3000, True)
    for query in clustered(300, 16, seed=1)[:20]:
        assert matches(index, query, tiny_sealed) == matches(store.index, query, tiny_sealed)
    assert store.store.add_graphs() == []


def test_a_graph_that_finds_too_few_is_not_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_graph, "MINIMUM_ALIKE", 1.01)
    (message,) = store.store.add_graphs()
    assert "is searched without a graph, which would find only" in message
    assert store.now().graph is None
    assert store.store.add_graphs() == []


def test_a_graph_that_cannot_be_built_is_not_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Recall:
        raise MemoryError

    monkeypatch.setattr(NeighbourGraph, "tune", fail)
    assert store.store.add_graphs() == ["The index uploads is searched without a graph, which failed (MemoryError)."]
    assert store.now().graph is None
    assert store.store.add_graphs() == []


def test_a_small_index_compares_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_store, "GRAPH_ROWS", 3001)
    assert store.store.add_graphs() == []


def test_equal_vectors_have_equal_answers(tiny_sealed: EncoderSpec) -> None:
    vectors = clustered(2000, 16)
    first, second = (with_graph(make_index(vectors.copy()))[0] for _ in range(2))
    for query in clustered(300, 16, seed=1)[:50]:
        assert matches(first, query, tiny_sealed, CANDIDATES) == matches(second, query, tiny_sealed, CANDIDATES)


_VECTORS = st.integers(2, 300).flatmap(
    lambda rows: st.tuples(st.just(rows), st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(1, 4))
)


@given(_VECTORS)
@settings(max_examples=40, deadline=None)
def test_the_nearest_of_few_are_found_whatever_the_vectors(drawn: tuple[int, int, int, int]) -> None:
    """Whole numbers of a small range: many vectors are equal, opposite, or zero."""
    rows, dimension, seed, largest = drawn
    vectors = np.random.default_rng(seed).integers(-largest, largest + 1, (rows, dimension)).astype(np.float32)
    index = make_index(vectors)
    graph = NeighbourGraph(index.vectors, index.lengths)
    query = vectors[np.abs(vectors).sum(1).argmax()]
    if not query.any():
        return
    direction = query / np.linalg.norm(query)
    cosines = index.vectors @ direction / index.lengths

    found = np.sort(cosines[graph.candidates(direction, 10)])[::-1][:10]

    np.testing.assert_allclose(found, np.sort(cosines)[::-1][:10], atol=1e-5)


@pytest.mark.full
def test_the_recall_of_sixty_thousand_events_is_high_and_what_is_found_is_exact(tiny_sealed: EncoderSpec) -> None:
    exact = make_index(clustered(60_000, 64))
    index, recall = with_graph(exact)
    queries: Any = clustered(600, 64, seed=1)[:50]
    found = [{name for name, _ in matches(index, query, tiny_sealed, CANDIDATES)} for query in queries]
    wanted = [{name for name, _ in matches(exact, query, tiny_sealed, CANDIDATES)} for query in queries]
    assert recall.is_enough
    assert np.mean([len(left & right) / CANDIDATES for left, right in zip(found, wanted, strict=True)]) >= 0.9
