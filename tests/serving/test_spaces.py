"""Heads and indexes answer for every encoder of their space, such as both towers of a checkpoint, and for no other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from encoders.load import build
from rawless.errors import UserError
from rawless.heads.session import open_head
from rawless.serving import index_store
from rawless.serving.config import load_config
from rawless.serving.errors import RequestError
from rawless.serving.head_store import HeadStore, head_requirements
from rawless.serving.stream_encoders import Wanted
from rawless.warehouse.append import append_all
from rawless.warehouse.encoder_registry import register
from tests.serving.conftest import IMAGE_STREAM, Bench, vector_of
from tests.shop import Shop, make_row
from tests.tiny_towers import Towers

TEXT = "Where is my parcel?"


@pytest.fixture
def text_bench(bench: Bench, towers: Towers) -> Bench:
    """A bench whose encoder of texts is a text tower."""
    return replace(bench, spec=towers.text)


def test_a_head_of_images_answers_for_texts(text_bench: Bench, towers: Towers) -> None:
    text_bench.deploy("topic", spec=towers.image)
    text_bench.deploy("foreign", spec=towers.foreign)
    vector = vector_of(build(towers.text, torch.device("cpu")), TEXT.encode())
    (expected,) = open_head(text_bench.heads / "topic" / "1").answer(embedding=vector[None])["probabilities"]

    answer = text_bench.start({"topic": {}}).post("/v1/heads/topic/predict", json={"text": TEXT}).json()

    assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert (answer["model"]["encoder"], answer["model"]["encoder_space"]) == ("tiny-clip-image", towers.text.space)
    with pytest.raises(
        UserError, match=r"is deployed for vectors of foreign@1\.0\.0 only, not of tiny-clip-text@1\.0\.0"
    ):
        text_bench.start({"foreign": {}})


def test_one_head_answers_for_the_streams_of_both_towers(text_bench: Bench, towers: Towers) -> None:
    text_bench.deploy("topic", spec=towers.image)
    stream = IMAGE_STREAM | {"stream": "photo", "encoders": [towers.image.ref]}
    (text_bench.folder / "photo.yaml").write_text(yaml.safe_dump(stream))
    heads = {"topic": {}, "photo": {"stream": "photo.yaml", "arms": {"topic": 1}}}
    _, served = load_config(text_bench.file(heads))
    specs, vector = {spec.ref: spec for spec in towers}, np.ones(towers.text.dimension, np.float32)

    store = HeadStore(
        text_bench.heads, head_requirements(served, lambda head: Wanted(specs[served[head].encoder])), lambda *_: None
    )

    assert store.get("topic", towers.text.fingerprint, vector) is store.get("topic", towers.image.fingerprint, vector)
    with pytest.raises(RequestError, match="head_mismatch"):
        store.get("topic", towers.foreign.fingerprint, vector)


def test_a_text_finds_images_in_an_index(
    text_bench: Bench, shop: Shop, towers: Towers, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(shop.warehouse, towers.image)
    row = {"encoder": towers.image.name, "encoder_fingerprint": towers.image.fingerprint}
    vectors = np.random.default_rng(0).standard_normal((6, towers.image.dimension)).astype(np.float32)
    append_all(shop.warehouse, [make_row(n, row | {"embedding": each}) for n, each in enumerate(vectors)])
    snapshot = shop.build(encoder=towers.image.ref, rules=None).manifest.snapshot_id
    text_bench.deploy("related", kind="query_transform", identity=True, spec=towers.image)
    query = vector_of(build(towers.text, torch.device("cpu")), TEXT.encode())
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1)

    heads = {"related": {"index": snapshot}}
    client = text_bench.start(heads, warehouse=shop.warehouse)
    found = client.post("/v1/heads/related/score?top=3", json={"text": TEXT}).json()

    assert [match["event_id"] for match in found["matches"]] == [f"e-{number}" for number in np.argsort(-cosines)[:3]]
    index = index_store.load_index(shop.warehouse, snapshot, towers.text.space)._replace(space=towers.foreign.space)
    monkeypatch.setattr(index_store, "load_index", lambda *_: index)
    with pytest.raises(UserError, match=r"whose vectors are of another encoder than tiny-clip-text@1.0.0"):
        text_bench.start(heads, warehouse=shop.warehouse)
