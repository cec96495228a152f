"""One index answered by several towers: by the encoder of its events, by query towers, and by heads beside them."""

import hashlib
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from encoders.encoder import Encoded
from encoders.load import load
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.privacy import Raw
from rawless.serving.config import load_config
from rawless.serving.remote import BYTES, FINGERPRINT, ROLE, TOKEN_VARIABLE, vector_to_bytes
from rawless.serving.stream_encoders import StreamEncoders
from rawless.warehouse.append import append_all
from tests.serving.conftest import Bench
from tests.shop import Shop, make_row

TEXT = "Where is my dog?"
PLAIN, TOWER = "tiny@1.0.0", "asks@1.0.0"
TOKEN = "service-token"
ACCESS = {
    "tokens": [
        {
            "name": "orchestrator",
            "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
            "scopes": ["encode", "classify"],
        }
    ]
}


@pytest.fixture
def tower_bench(tiny_bench: Bench, query_tower: EncoderSpec) -> Bench:
    """A bench with a query tower of its encoder of texts."""
    return replace(tiny_bench, towers=(query_tower,))


@pytest.fixture
def documents() -> Vector:
    """Vectors of the events of the index."""
    return np.random.default_rng(0).standard_normal((30, 16)).astype(np.float32)


@pytest.fixture
def snapshot(shop: Shop, tiny_sealed: EncoderSpec, documents: Vector) -> str:
    """The snapshot that is the index."""
    fields = {"encoder_fingerprint": tiny_sealed.fingerprint, "modality": "text", "stream": "answer"}
    append_all(shop.warehouse, [make_row(n, fields | {"embedding": each}) for n, each in enumerate(documents)])
    return shop.build(stream="answer", rules=None).manifest.snapshot_id


def _nearest(spec: EncoderSpec, documents: Vector) -> list[str]:
    """Return the three events that are nearest to the text as an encoder of queries encodes it."""
    (outcome,) = load(spec, "cpu").encode([Raw(TEXT.encode())], role="query")
    assert isinstance(outcome, Encoded)
    cosines = documents @ outcome.vector / np.linalg.norm(documents, axis=1)
    return [f"e-{row}" for row in np.argsort(-cosines)[:3]]


def _ask(client: httpx.Client, arm: str | None = None, **headers: str) -> Any:
    query = f"?top=3&arm={arm}" if arm else "?top=3"
    response = client.post(f"/v1/heads/find/score{query}", json={"text": TEXT}, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def test_one_index_is_answered_by_name_and_by_weight(
    tower_bench: Bench, shop: Shop, snapshot: str, documents: Vector, query_tower: EncoderSpec, tiny_sealed: EncoderSpec
) -> None:
    tower_bench.deploy("mapped", kind="query_transform", identity=True)
    arms = {PLAIN: 0.5, TOWER: 0.4, "mapped": 0.1}
    client = tower_bench.start({"find": {"index": snapshot, "arms": arms}}, warehouse=shop.warehouse)

    plain, tower, head = (_ask(client, arm) for arm in arms)
    assigned = [_ask(client, **{"rawless-assignment-key": f"caller-{number}"}) for number in range(40)]
    unknown = client.post("/v1/heads/find/score?arm=other", json={"text": TEXT})

    assert [match["event_id"] for match in plain["matches"]] == _nearest(tiny_sealed, documents)
    assert [match["event_id"] for match in tower["matches"]] == _nearest(query_tower, documents)
    assert [match["event_id"] for match in head["matches"]] == _nearest(tiny_sealed, documents)
    assert plain["matches"] != tower["matches"]
    assert (tower["tower"]["encoder_fingerprint"], tower["model"]) == (query_tower.fingerprint, None)
    assert (head["tower"], head["model"]["head"]) == (None, "mapped")
    by = [each["tower"]["encoder"] if each["tower"] else each["model"]["head"] for each in assigned]
    assert {"tiny", "asks"} <= set(by)
    counted = client.get("/metrics").text
    assert f'rawless_answers_total{{head="find",version="{TOWER}"}} {by.count("asks") + 1}.0' in counted
    assert unknown.status_code == 400
    (offer,) = client.get("/v1/heads").json()["heads"]
    assert {each["arm"]: each["weight"] for each in offer["arms"]} == arms


def test_separate_services_answer_as_one_process(
    tower_bench: Bench, shop: Shop, snapshot: str, query_tower: EncoderSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    heads = {"find": {"index": snapshot, "arms": {PLAIN: 1, TOWER: 1}}}
    encoder = tower_bench.start(heads, "encoder", access=ACCESS)
    classifier = tower_bench.start(heads, "classifier", access=ACCESS, warehouse=shop.warehouse)
    urls = {"encoder": {"url": str(encoder.base_url)}, "classifier": {"url": str(classifier.base_url)}}
    separate = tower_bench.start(heads, "orchestrator", **urls)
    together = tower_bench.start(heads, warehouse=shop.warehouse)
    vector = vector_to_bytes(np.ones(16, np.float32))
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": BYTES}

    for arm in (PLAIN, TOWER):
        (apart, alone) = (_ask(client, arm) | {"event_id": ""} for client in (separate, together))
        assert apart == alone
    path = f"/v1/streams/message/encoders/{query_tower.fingerprint}"
    as_document = encoder.post(path, content=b"Where?", headers=headers | {ROLE: "document"})
    path = f"/v1/models/{TOWER}/rank/{snapshot}"
    of_another = classifier.post(path, content=vector, headers=headers | {FINGERPRINT: "0" * 64})
    assert as_document.status_code == 400
    assert (of_another.status_code, of_another.json()["reason"]) == (503, "head_mismatch")


def test_no_head_takes_the_vectors_of_a_tower(
    tower_bench: Bench, tiny_sealed: EncoderSpec, query_tower: EncoderSpec
) -> None:
    _, served = load_config(tower_bench.file({"find": {"index": "answers", "arms": {TOWER: 1}}}))
    encoders = StreamEncoders(served, tower_bench.dependencies().specs, None, tower_bench.messages.append)

    assert query_tower.space == encoders.space_of(tiny_sealed.fingerprint) == tiny_sealed.space
    assert encoders.space_of(query_tower.fingerprint) == query_tower.fingerprint


def test_a_tower_of_other_documents_or_where_documents_are_encoded_is_refused_at_the_start(
    tower_bench: Bench, shop: Shop, snapshot: str, query_tower: EncoderSpec
) -> None:
    foreign = query_tower.model_copy(update={"name": "foreign", "queries_of": "0" * 64})
    bench = replace(tower_bench, towers=(query_tower, foreign))
    bench.deploy("topic")

    with pytest.raises(UserError, match=r"find\.arms names foreign@1\.0\.0, which encodes queries for other documents"):
        bench.start({"find": {"index": snapshot, "arms": {"foreign@1.0.0": 1}}}, warehouse=shop.warehouse)
    with pytest.raises(UserError, match=r"topic\.arms names the encoder asks@1\.0\.0, but only a head with an index"):
        bench.start({"topic": {"arms": {TOWER: 1}}})
    with pytest.raises(UserError, match=r"heads\.topic\.encoder is asks@1\.0\.0, which is a query tower"):
        replace(bench, spec=query_tower).start({"topic": {}})
