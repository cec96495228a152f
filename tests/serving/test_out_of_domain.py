"""A head does not answer what is unlike its training rows, however confident it is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import yaml

from encoders.encoder import Encoder
from encoders.load import load
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.domain import Domain, FittedDomain
from rawless.serving.app import AppFactory
from rawless.serving.config import load_config
from rawless.warehouse.client import Warehouse
from tests.serving.conftest import TEXT_STREAM, Bench, eventually, run_app, vector_of

KNOWN = [text + end * n for text, end in (("where is my parcel", "?"), ("paid for two cat", ".")) for n in range(8)]
UNKNOWN = "dog dog dog dog"
HEADERS = {"rawless-event-id": "msg-0001", "rawless-subject-id": "customer"}
Start = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def domain(tiny_sealed: EncoderSpec) -> FittedDomain:
    """A domain that the known texts are in, the first and the second half of them as classes."""
    encoder: Encoder = load(tiny_sealed, "cpu")
    vectors = torch.from_numpy(np.stack([vector_of(encoder, text.encode()) for text in KNOWN]))
    module = Domain(tiny_sealed.dimension, 2)
    module.fit(vectors, torch.tensor([n // 8 for n in range(16)]))
    return FittedDomain(module, float(module(vectors).max()) + 1.0, 0.95)


@pytest.fixture
def start(bench: Bench, tiny_sealed: EncoderSpec, tiny_file: Path) -> Start:
    """Start a service of heads over the tiny encoder."""

    def started(heads: Mapping[str, Any], warehouse: Warehouse | None = None) -> httpx.Client:
        file = bench.file(heads)
        (bench.folder / "message.yaml").write_text(yaml.safe_dump(TEXT_STREAM | {"encoders": [str(tiny_file)]}))
        config, served = load_config(file)
        dependencies = bench.dependencies(warehouse)._replace(specs={str(tiny_file): tiny_sealed})
        app = AppFactory(config, served, dependencies).create_app("all", "127.0.0.1")
        return bench.running.enter_context(run_app(app))

    return started


def _predict(client: httpx.Client, text: str, name: str = "topic") -> dict[str, Any]:
    response = client.post(f"/v1/heads/{name}/predict", json={"text": text}, headers=HEADERS)
    assert response.status_code == 200
    prediction: dict[str, Any] = response.json()
    return prediction


def test_a_head_with_a_domain_abstains_from_other_texts_unless_its_rules_say_otherwise(
    bench: Bench, start: Start, tiny_sealed: EncoderSpec, domain: FittedDomain
) -> None:
    for name in ("topic", "eager"):
        bench.deploy(name, spec=tiny_sealed, domain=domain)
    bench.deploy("former", spec=tiny_sealed)
    client = start(
        {
            "topic": {"rules": {"fallback": "ask_a_person", "minimum_confidence": 0.01}},
            "eager": {"rules": {"out_of_domain": "answer"}},
            "former": {},
        }
    )

    known, unknown = (_predict(client, text) for text in (KNOWN[0], UNKNOWN))

    assert known["abstention"] is None
    assert [unknown[field] for field in ("abstention", "prediction", "probabilities")] == [
        "out_of_domain",
        "ask_a_person",
        None,
    ]
    assert unknown["model"]["version"] == 1
    assert unknown.keys() == known.keys()
    assert "distance" not in unknown
    for name in ("eager", "former"):
        assert _predict(client, UNKNOWN, name)["abstention"] is None
    assert 'rawless_abstentions_total{head="topic",reason="out_of_domain"} 1.0' in client.get("/metrics").text


def test_an_abstention_of_a_head_and_of_its_shadow_are_logged_without_probabilities(
    bench: Bench, start: Start, tiny_sealed: EncoderSpec, domain: FittedDomain, warehouse: Warehouse
) -> None:
    for name in ("topic", "next"):
        bench.deploy(name, spec=tiny_sealed, domain=domain)
    client = start({"topic": {"log": True, "shadow": ["next"]}}, warehouse)
    statement = f"SELECT * FROM `{warehouse.table_id('prediction_v1')}`"

    _predict(client, UNKNOWN)
    eventually(lambda: len(warehouse.query(statement)) == 2)

    rows = {row["head"]: (row["abstention"], row["probabilities"]) for row in warehouse.query(statement)}
    assert rows == {"topic": ("out_of_domain", []), "next": ("out_of_domain", [])}


def test_a_rule_that_needs_a_domain_refuses_a_head_without_one(
    bench: Bench, start: Start, tiny_sealed: EncoderSpec, domain: FittedDomain
) -> None:
    bench.deploy("topic", spec=tiny_sealed)
    with pytest.raises(UserError, match=r"topic@1 has no domain, so heads\.topic\.rules\.out_of_domain cannot apply"):
        start({"topic": {"rules": {"out_of_domain": "abstain"}}})
    bench.deploy("topic", 2, spec=tiny_sealed, domain=domain)

    assert _predict(start({"topic": {"rules": {"out_of_domain": "abstain"}}}), UNKNOWN)["abstention"] == "out_of_domain"


def test_a_domain_that_returns_no_number_is_rejected_before_the_first_request(
    bench: Bench, start: Start, tiny_sealed: EncoderSpec
) -> None:
    broken = Domain(tiny_sealed.dimension, 2)
    broken.biases.fill_(float("nan"))
    bench.deploy("topic", spec=tiny_sealed, domain=FittedDomain(broken, 0.0, 0.95))

    with pytest.raises(UserError, match="topic@1 returns no distance from its domain: train it again"):
        start({"topic": {}})
