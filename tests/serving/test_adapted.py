"""New queries into the old space: an encoder with an adapter answers for the one it maps to only if a file says so."""

from collections.abc import Callable
from dataclasses import replace

import httpx
import numpy as np
import pytest
import torch

from encoders.load import build
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.session import open_head
from rawless.serving.remote import TOKEN_VARIABLE
from rawless.warehouse.encoder_registry import register
from tests.adapters import Adapted, make_adapted, upload, vector
from tests.serving.conftest import Bench, vector_of
from tests.serving.test_services import SERVICE, _split
from tests.shop import Shop

TEXT = "Where is my parcel?"


@pytest.fixture(scope="module")
def adapted(
    tiny_sealed: EncoderSpec, tiny_spec: Callable[..., EncoderSpec], tmp_path_factory: pytest.TempPathFactory
) -> Adapted:
    return make_adapted(tiny_sealed, tiny_spec, tmp_path_factory.mktemp("adapted") / "made")


@pytest.fixture
def adapted_bench(bench: Bench, adapted: Adapted) -> Bench:
    """A bench whose encoder of texts has an adapter."""
    return replace(bench, spec=adapted.spec)


def test_a_head_of_the_other_space_answers_for_adapted_vectors_and_says_so(
    adapted_bench: Bench, adapted: Adapted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, SERVICE)
    for head in ("topic", "pinned"):
        adapted_bench.deploy(head, spec=adapted.target)
    with pytest.raises(UserError, match=r"takes vectors of target@1\.0\.0 .* not the same: say `adapted: true`\."):
        adapted_bench.start({"pinned": {"arms": {"pinned@1": 1}}})
    with pytest.raises(UserError, match=r"for vectors of target@1\.0\.0 only.* not the same: say `adapted: true`\."):
        adapted_bench.start({"topic": {}})
    native = vector_of(build(adapted.source, torch.device("cpu")), TEXT.encode())
    mapped = adapted.map.apply(native[None])
    (expected,) = open_head(adapted_bench.heads / "topic" / "1").answer(embedding=mapped)["probabilities"]

    heads = {"topic": {"encoder": adapted.spec.ref, "adapted": True}}
    together = adapted_bench.start(heads)
    separate, _, _ = _split(adapted_bench, heads)

    for client in (together, separate):
        answer = client.post("/v1/heads/topic/predict", json={"text": TEXT}).json()
        assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-4)
        assert (answer["model"]["encoder"], answer["model"]["adapted_by"]) == ("target", adapted.spec.ref)
        (offer,) = client.get("/v1/heads").json()["heads"]
        assert offer["arms"][0]["model"]["adapted_by"] == adapted.spec.ref
        assert f'version="topic@1 for {adapted.spec.ref}"' in _metrics(client)


def test_new_queries_search_an_old_index(adapted_bench: Bench, adapted: Adapted, shop: Shop) -> None:
    register(shop.warehouse, adapted.target)
    upload(shop.warehouse, adapted.target, range(6))
    snapshot = shop.build(encoder=adapted.target.ref, rules=None).manifest.snapshot_id
    adapted_bench.deploy("related", kind="query_transform", identity=True, spec=adapted.target)
    query = adapted.map.apply(vector_of(build(adapted.source, torch.device("cpu")), TEXT.encode())[None])[0]
    vectors = np.stack([vector(number, 16) for number in range(6)])
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1)

    heads = {"related": {"encoder": adapted.spec.ref, "index": snapshot, "adapted": True}}
    client = adapted_bench.start(heads, warehouse=shop.warehouse)
    found = client.post("/v1/heads/related/score?top=3", json={"text": TEXT}).json()

    assert [match["event_id"] for match in found["matches"]] == [f"e-{number}" for number in np.argsort(-cosines)[:3]]
    assert found["model"]["adapted_by"] == adapted.spec.ref
    adapted_bench.deploy("own", kind="query_transform", identity=True)
    with pytest.raises(UserError, match=r"of another encoder than target-from-tiny@1\.0\.0.*say `adapted: true`\."):
        adapted_bench.start({"own": {"index": snapshot}}, warehouse=shop.warehouse)


def test_an_encoder_that_no_stream_lists_answers_where_it_is_adapted(
    bench: Bench, adapted: Adapted, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.deploy("topic", spec=adapted.target)
    dependencies = bench.dependencies()._replace(specs={adapted.spec.ref: adapted.spec})
    monkeypatch.setattr(Bench, "dependencies", lambda *_: dependencies)
    client = bench.start({"topic": {"encoder": adapted.spec.ref, "adapted": True}})
    assert client.post("/v1/heads/topic/predict", json={"text": TEXT}).status_code == 200


def test_an_encoder_without_an_adapter_and_a_third_space_are_refused(
    tiny_bench: Bench, adapted_bench: Bench, adapted: Adapted
) -> None:
    tiny_bench.deploy("topic")
    with pytest.raises(UserError, match=r"heads.topic.adapted is true, but tiny@1\.0\.0 has no adapter: remove it"):
        tiny_bench.start({"topic": {"encoder": "tiny@1.0.0", "adapted": True}})
    with pytest.raises(UserError, match=r"deployed for vectors of tiny@1\.0\.0 only, not of target-from-tiny@1\.0\.0"):
        adapted_bench.start({"topic": {"encoder": adapted.spec.ref, "adapted": True}})
    one, other = ({"encoder": adapted.spec.ref, "adapted": each, "arms": {"topic": 1}} for each in (True, False))
    with pytest.raises(UserError, match=r"heads\.one and heads\.other both name the head topic, but differ in adapted"):
        adapted_bench.start({"one": one, "other": other})
    with pytest.raises(UserError, match=r"heads.topic.adapted is true, but the stream's live encoder may change: name"):
        adapted_bench.start({"topic": {"adapted": True}})


def _metrics(client: httpx.Client) -> str:
    return client.get("/metrics").text
