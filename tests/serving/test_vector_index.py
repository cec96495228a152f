"""Scores of queries: the nearest events by cosine, then scored by a head."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.encoder import Encoder
from rawless.datasets.snapshot_tables import table_id
from rawless.errors import UserError
from rawless.heads.session import HeadSession, open_head
from rawless.serving.index_store import load_index
from rawless.serving.vector_index import CANDIDATES, VectorIndex
from rawless.warehouse.client import Warehouse
from tests.drawn_heads import write_head
from tests.serving.conftest import Bench, eventually, vector_of
from tests.shop import AS_OF, Shop, make_row

ROWS, DIMENSION = 300, 384


@pytest.fixture
def index(minilm: Encoder) -> VectorIndex:
    vectors = np.random.default_rng(0).normal(0.01, 0.05, (ROWS, DIMENSION)).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    ids = np.array([f"e-{number:03}" for number in range(ROWS)])
    return VectorIndex("a" * 24, minilm.spec.fingerprint, ids, vectors, lengths, minilm.spec.fingerprint)


def _head(folder: Path, kind: str, **fields: Any) -> HeadSession:
    write_head(folder, kind, kind=kind, **fields)
    return open_head(folder / kind / "1")


@pytest.mark.parametrize("top", [1, 10, CANDIDATES])
def test_a_head_of_pairs_ranks_the_nearest_hundred(index: VectorIndex, tmp_path: Path, top: int) -> None:
    head, query = _head(tmp_path, "pair"), np.random.default_rng(1).normal(0, 0.05, DIMENSION).astype(np.float32)

    ranking = index.rank(head, query, {}, top)

    cosines = index.vectors @ query / np.linalg.norm(index.vectors, axis=1) / np.linalg.norm(query)
    nearest = np.argsort(-cosines)[:CANDIDATES]
    scores = head.answer(left=np.tile(query, (CANDIDATES, 1)), right=index.vectors[nearest])["score"]
    order = np.argsort(-scores)[:top]
    assert [match.event_id for match in ranking.matches] == [str(index.ids[nearest[row]]) for row in order]
    np.testing.assert_allclose([match.score for match in ranking.matches], scores[order], atol=1e-5)
    np.testing.assert_allclose([match.cosine for match in ranking.matches], cosines[nearest[order]], atol=1e-5)


def test_a_transform_maps_the_query_of_its_tenant(index: VectorIndex, tmp_path: Path) -> None:
    fields = {"tenants": ("", "shop_b"), "hyperparameters": {"tenant": "channel"}}
    head, query = _head(tmp_path, "by_tenant", **fields), np.ones(DIMENSION, np.float32)

    def best(**attributes: str) -> list[str]:
        return [match.event_id for match in index.rank(head, query, attributes, 5).matches]

    def expected(tenant: int) -> list[str]:
        (mapped,) = head.answer(query=query[None], tenant=np.array([tenant]))["embedding"]
        return [str(event_id) for event_id in index.ids[np.argsort(-(index.vectors @ mapped / index.lengths))[:5]]]

    assert best(channel="shop_b") == expected(1)
    assert best(channel="another") == best() == expected(0)
    assert expected(0) != expected(1)


def test_an_index_with_fewer_events_than_requested_returns_all(index: VectorIndex, tmp_path: Path) -> None:
    small = index._replace(ids=index.ids[:3], vectors=index.vectors[:3], lengths=index.lengths[:3])

    assert len(small.rank(_head(tmp_path, "pair"), np.ones(DIMENSION, np.float32), {}, 100).matches) == 3


def _build_snapshot(shop: Shop, minilm: Encoder, texts: dict[str, str], **spec: Any) -> str:
    """Build a snapshot of texts, by their event ids, and return its id."""
    from rawless.warehouse.append import append_all

    fields = {"stream": "upload", "encoder": "minilm", "encoder_fingerprint": minilm.spec.fingerprint}
    rows = [
        make_row(number, fields | {"event_id": event_id, "embedding": vector_of(minilm, text.encode())})
        for number, (event_id, text) in enumerate(texts.items())
    ]
    append_all(shop.warehouse, rows)
    return shop.build(encoder="minilm@1.0.0", rules=None, **spec).manifest.snapshot_id


TEXTS = {
    "e-0": "How do I pay my invoice?",
    "e-1": "The app crashes when I open it.",
    "e-2": "Please delete my account.",
    "e-3": "Which payment methods are there?",
}


def test_a_query_over_http_finds_the_nearest_events(bench: Bench, shop: Shop, minilm: Encoder) -> None:
    snapshot = _build_snapshot(shop, minilm, TEXTS)
    write_head(bench.heads, "related", kind="query_transform", identity=True)
    bench.deploy("scorer", kind="pair")
    from rawless.heads.deployment import deploy

    deploy(bench.heads, "related", 1)
    client = bench.start(
        {"related": {"index": snapshot}, "scorer": {"index": "uploads", "rules": {"deny": {"channel": ["email"]}}}},
        warehouse=shop.warehouse,
    )

    near = client.post("/v1/heads/related/score?top=2", json={"text": "What ways of paying do you offer?"}).json()
    scored = client.post("/v1/heads/scorer/score", json={"text": "What ways of paying do you offer?"}).json()
    denied = client.post(
        "/v1/heads/scorer/score",
        json={"text": "What ways of paying do you offer?"},
        headers={"rawless-attributes": json.dumps({"channel": "email"})},
    ).json()
    invalid = [
        client.post(f"/v1/heads/scorer/score?{q}", json={"text": "a"}) for q in ("top=0", "top=x", "top=101", "a=1")
    ]

    assert [match["event_id"] for match in near["matches"]] == ["e-3", "e-0"]
    assert near["snapshot_id"] == scored["snapshot_id"] == snapshot
    assert (near["model"]["head"], near["model"]["version"]) == ("related", 1)
    assert sorted(match["event_id"] for match in scored["matches"]) == sorted(TEXTS)
    assert (denied["abstention"], denied["matches"]) == ("denied", [])
    assert [response.status_code for response in invalid] == [400] * 4


def test_heads_that_share_an_index_load_it_once(
    bench: Bench, shop: Shop, minilm: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, loaded = _build_snapshot(shop, minilm, TEXTS), []
    for name in ("first", "second"):
        bench.deploy(name, kind="pair")

    def counted_load(warehouse: Warehouse, reference: str, space: str, max_bytes: int) -> VectorIndex:
        loaded.append(reference)
        return load_index(warehouse, reference, space, max_bytes)

    monkeypatch.setattr("rawless.serving.index_store.load_index", counted_load)
    client = bench.start({name: {"index": snapshot} for name in ("first", "second")}, warehouse=shop.warehouse)
    scores = [client.post(f"/v1/heads/{name}/score", json={"text": "a"}).json() for name in ("first", "second")]

    assert loaded == [snapshot]
    assert [len(body["matches"]) for body in scores] == [len(TEXTS)] * 2


def test_an_unknown_index_or_one_of_another_encoder_is_rejected(
    bench: Bench, shop: Shop, warehouse: Warehouse, minilm: Encoder
) -> None:
    other = shop.build().manifest.snapshot_id
    bench.deploy("scorer", kind="pair")

    with pytest.raises(UserError, match=r"vectors are of another encoder than minilm@1\.0\.0"):
        bench.start({"scorer": {"index": other}}, warehouse=warehouse)
    with pytest.raises(UserError, match=r"There is no snapshot and no dataset 'nothing'"):
        bench.start({"scorer": {"index": "nothing"}}, warehouse=warehouse)
    with pytest.raises(UserError, match="needs a warehouse"):
        bench.start({"scorer": {"index": other}})


def test_an_index_of_pairs_contains_their_right_events_once(shop: Shop) -> None:
    snapshot = shop.build().manifest.snapshot_id

    index = load_index(shop.warehouse, snapshot, "")

    rows = shop.rows(snapshot)
    assert sorted(index.ids) == sorted(rows)
    np.testing.assert_allclose(index.vectors[0], rows[str(index.ids[0])]["embedding"], atol=1e-6)
    np.testing.assert_allclose(index.lengths, np.linalg.norm(index.vectors, axis=1), rtol=1e-5)


def test_an_index_that_needs_more_memory_than_allowed_is_refused(shop: Shop) -> None:
    snapshot = shop.build().manifest.snapshot_id
    with pytest.raises(UserError, match=r"needs up to 167 KB of memory, but limits.index_bytes is 1 KB: raise it"):
        load_index(shop.warehouse, snapshot, "", max_bytes=1000)


def test_a_newer_snapshot_and_an_erasure_change_the_index_of_a_running_service(
    bench: Bench, shop: Shop, minilm: Encoder
) -> None:
    first = _build_snapshot(shop, minilm, TEXTS)
    bench.deploy("scorer", kind="pair")
    limits = {"index_seconds": 0.1, "pointer_seconds": 0.1}
    client = bench.start({"scorer": {"index": "uploads"}}, warehouse=shop.warehouse, limits=limits)

    def scored() -> tuple[str, set[str]]:
        body = client.post("/v1/heads/scorer/score?top=100", json={"text": "How do I pay?"}).json()
        return body["snapshot_id"], {match["event_id"] for match in body["matches"]}

    assert scored() == (first, set(TEXTS))
    later = (AS_OF + timedelta(hours=1)).isoformat()
    second = _build_snapshot(shop, minilm, {"e-4": "Cancel my order."}, as_of=later)
    eventually(lambda: scored() == (second, {*TEXTS, "e-4"}))

    shop.warehouse.query(f"DELETE FROM `{table_id(shop.warehouse, second)}` WHERE event_id = 'e-1'")
    eventually(lambda: scored() == (second, {*TEXTS, "e-4"} - {"e-1"}))
    assert f"The index uploads is now {second} with 5 events." in bench.messages
    assert 'rawless_index_events{index="uploads"} 4.0' in client.get("/metrics").text
