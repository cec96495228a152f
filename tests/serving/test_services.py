"""Encoder and classifier as separate services: they return the same answers, and only to the orchestrator."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from encoders.encoder import Encoder
from encoders.load import build
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.serving import readiness
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.remote import TOKEN_VARIABLE
from rawless.warehouse.append import append_all
from tests.serving.conftest import NO_AUTHORITIES, Bench, vector_of
from tests.shop import Shop, make_row
from tests.tiny_towers import Towers

SERVICE, OTHER = "service-token", "other-token"
ACCESS = {
    "tokens": [
        {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "scopes": scopes}
        for name, token, scopes in (
            ("orchestrator", SERVICE, ["encode", "classify", "metrics"]),
            ("other", OTHER, ["predict"]),
        )
    ]
}
TEXT = "Where is my parcel?"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, SERVICE)


def _split(bench: Bench, heads: dict[str, Any], **options: Any) -> tuple[httpx.Client, httpx.Client, httpx.Client]:
    encoder = bench.start(heads, "encoder", access=ACCESS)
    classifier = bench.start(heads, "classifier", access=ACCESS, **options)
    urls = {"encoder": {"url": str(encoder.base_url)}, "classifier": {"url": str(classifier.base_url)}}
    return bench.start(heads, "orchestrator", **urls), encoder, classifier


def test_separate_services_give_the_same_answers_as_one_process(bench: Bench, resnet: Encoder, image: bytes) -> None:
    for name, spec in (("topic", None), ("urgency", None), ("digit", resnet.spec)):
        bench.deploy(name, spec=spec)
    heads = {"topic": {"also": ["urgency"]}, "urgency": {}, "digit": {"stream": "upload.yaml"}}
    together = bench.start(heads)
    separate, _, _ = _split(bench, heads)

    def bodies(client: httpx.Client) -> list[Any]:
        responses = [
            client.post("/v1/heads/topic/predict", json={"text": TEXT}, headers={"rawless-event-id": "msg-0001"}),
            client.post(
                "/v1/heads/digit/predict",
                content=image,
                headers={"content-type": "image/png", "rawless-event-id": "a"},
            ),
            client.post("/v1/heads/topic/predict", json={"text": "\0"}),
            client.post("/v1/heads/digit/predict", content=b"none", headers={"content-type": "image/png"}),
            client.get("/v1/heads"),
            client.get("/ready"),
        ]
        return [response.json() for response in responses]

    for body, expected in zip(bodies(separate), bodies(together), strict=True):
        pair = (body, expected)
        probabilities = [item.pop("probabilities", None) for item in pair]
        also = [item.pop("also", {}).get("urgency", {}).pop("probabilities", None) for item in pair]
        assert body == expected
        for first, second in (probabilities, also):
            assert first == (second and pytest.approx(second, abs=1e-5))


def test_separate_services_compare_versions_of_a_head(tiny_bench: Bench) -> None:
    for version in (1, 2):
        tiny_bench.deploy("topic", version)
    separate, _, _ = _split(tiny_bench, {"topic": {"arms": {"topic@1": 1, "topic": 1}}})

    answers = [
        separate.post("/v1/heads/topic/predict", json={"text": "a"}, headers={"rawless-assignment-key": str(key)})
        for key in range(12)
    ]
    (offer,) = separate.get("/v1/heads").json()["heads"]

    assert {answer.json()["model"]["version"] for answer in answers} == {1, 2}
    assert sorted(arm["model"]["version"] for arm in offer["arms"]) == [1, 2]


def test_separate_services_answer_for_texts_by_a_head_of_images_of_their_space(bench: Bench, towers: Towers) -> None:
    bench = replace(bench, spec=towers.text)
    bench.deploy("topic", spec=towers.image)
    separate, _, classifier = _split(bench, {"topic": {}})

    answer = separate.post("/v1/heads/topic/predict", json={"text": TEXT})
    headers = {"authorization": f"Bearer {SERVICE}", "content-type": "application/octet-stream"}
    direct = [
        classifier.post(
            "/v1/models/topic/answer",
            content=np.ones(towers.text.dimension, "<f4").tobytes(),
            headers=headers | {"rawless-encoder-fingerprint": fingerprint},
        ).status_code
        for fingerprint in (towers.text.fingerprint, towers.foreign.fingerprint, towers.text.space)
    ]

    assert answer.status_code == 200, answer.text
    assert answer.json()["model"]["encoder_fingerprint"] == towers.image.fingerprint
    assert direct == [200, 503, 503]


def test_separate_services_score_queries(bench: Bench, shop: Shop, minilm: Encoder) -> None:
    fields = {"encoder": "minilm", "encoder_fingerprint": minilm.spec.fingerprint}
    texts = ["How do I pay?", "The app crashes.", "Delete my account."]
    append_all(
        shop.warehouse,
        [make_row(n, fields | {"embedding": vector_of(minilm, text.encode())}) for n, text in enumerate(texts)],
    )
    snapshot = shop.build(encoder="minilm@1.0.0", rules=None).manifest.snapshot_id
    bench.deploy("scorer", kind="pair")
    heads = {"scorer": {"index": snapshot}}
    together = bench.start(heads, warehouse=shop.warehouse)
    separate, _, classifier = _split(bench, heads, warehouse=shop.warehouse)

    headers = {"rawless-attributes": json.dumps({"channel": "chat"})}
    scores, expected = (
        client.post("/v1/heads/scorer/score?top=2", json={"text": TEXT}, headers=headers).json()
        for client in (separate, together)
    )

    assert [match["event_id"] for match in scores["matches"]] == [match["event_id"] for match in expected["matches"]]
    assert len(scores["matches"]) == 2
    assert classifier.post(f"/v1/models/scorer/rank/{snapshot}", content=b"1234").status_code == 401


def test_a_query_is_encoded_with_its_prompt_and_an_event_with_that_of_documents(
    bench: Bench, shop: Shop, tiny_spec: Callable[..., EncoderSpec]
) -> None:
    prompts = {"document": "two dogs paid ", "query": "where is my "}
    spec = seal(tiny_spec(name="prompted", preprocessing={"prompts": prompts, "max_tokens": 32}))
    encoder, plain = (build(each, torch.device("cpu")) for each in (spec, tiny_spec()))
    fields = {"stream": "upload", "encoder": spec.name, "encoder_fingerprint": spec.fingerprint}
    texts = {"e-0": b"bird", "e-1": b"my dog", "e-2": b"is it paid ?", "e-3": b"parcel"}
    rows = [{"event_id": event_id, "embedding": vector_of(encoder, text)} for event_id, text in texts.items()]
    append_all(shop.warehouse, [make_row(number, fields | row) for number, row in enumerate(rows)])
    snapshot = shop.build(encoder=spec.ref, rules=None).manifest.snapshot_id
    bench.spec = spec
    bench.deploy("related", kind="query_transform", identity=True)
    heads = {"related": {"index": snapshot}}
    separate, service, _ = _split(bench, heads, warehouse=shop.warehouse)

    query = vector_of(plain, b"where is my cat")
    for client in (separate, bench.start(heads, warehouse=shop.warehouse)):
        match, *_ = client.post("/v1/heads/related/score", json={"text": "cat"}).json()["matches"]
        document = vector_of(plain, b"two dogs paid " + texts[match["event_id"]])
        assert match["cosine"] == pytest.approx(float(query @ document), abs=1e-5)

    headers = {"authorization": f"Bearer {SERVICE}", "content-type": "application/octet-stream", "rawless-role": "all"}
    path = f"/v1/streams/message/encoders/{spec.fingerprint}"
    assert service.post(path, content=b"cat", headers=headers).json()["reason"] == "bad_request"


def test_only_a_token_with_the_scope_encodes_or_classifies(bench: Bench, minilm: Encoder) -> None:
    bench.deploy("topic")
    _, encoder, classifier = _split(bench, {"topic": {}})
    encode = f"/v1/streams/message/encoders/{minilm.spec.fingerprint}"

    def status(client: httpx.Client, path: str, token: str, content: bytes = b"hello", **headers: str) -> int:
        all_headers = {"authorization": f"Bearer {token}", "content-type": "application/octet-stream", **headers}
        return client.post(path, content=content, headers=all_headers).status_code

    assert status(encoder, encode, SERVICE) == 200
    assert status(encoder, encode, OTHER) == 403
    assert status(encoder, encode, "unknown") == 401
    assert status(encoder, encode.replace("message", "other"), SERVICE) == 404
    assert status(encoder, encode[:-1], SERVICE) == 404
    assert status(encoder, encode, SERVICE, b"x" * 5000) == 413
    assert status(encoder, encode, SERVICE, b"\xff") == 422
    assert status(encoder, encode, SERVICE, **{"content-type": "text/plain"}) == 415
    answer, vector = "/v1/models/topic/answer", vector_of(minilm, b"hello").tobytes()
    fingerprint = {"rawless-encoder-fingerprint": minilm.spec.fingerprint}
    assert status(classifier, answer, SERVICE, vector, **fingerprint) == 200
    assert status(classifier, answer, OTHER, vector, **fingerprint) == 403
    assert status(classifier, answer, SERVICE, vector) == 503  # the vector's encoder is unknown
    assert status(classifier, answer, SERVICE, vector[:-3], **fingerprint) == 400
    assert status(classifier, answer, SERVICE, vector[:-4], **fingerprint) == 400
    assert status(classifier, answer, SERVICE, b"", **fingerprint) == 400
    assert status(classifier, answer.replace("topic", "other"), SERVICE, vector, **fingerprint) == 404


def test_callers_do_not_learn_that_a_service_rejects_the_orchestrator(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.deploy("topic")
    separate, _, _ = _split(bench, {"topic": {}})
    monkeypatch.setenv(TOKEN_VARIABLE, "revoked")

    answer = separate.post("/v1/heads/topic/predict", json={"text": TEXT})

    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def test_an_unavailable_service_is_answered_with_503(bench: Bench) -> None:
    import socket

    bench.deploy("topic")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = bench.start({"topic": {}}, "orchestrator", encoder={"url": url}, classifier={"url": url})

        predictions = [client.post("/v1/heads/topic/predict", json={"text": TEXT}) for _ in range(3)]
        ready, listed = client.get("/ready"), client.get("/v1/heads")

    assert [response.status_code for response in (*predictions, ready, listed)] == [503] * 5
    assert {response.json()["reason"] for response in predictions} == {"unavailable"}


def test_probes_of_an_orchestrator_cost_its_services_one_check(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "SECONDS", 60.0)
    bench.deploy("topic")
    service = bench.start({"topic": {}}, "classifier", access=ACCESS)
    url = {"url": str(service.base_url)}
    client = bench.start({"topic": {}}, "orchestrator", encoder=url, classifier=url)

    async def flood() -> list[int]:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=60, verify=NO_AUTHORITIES) as probes:
            return [probe.status_code for probe in await asyncio.gather(*(probes.get("/ready") for _ in range(20)))]

    assert [*asyncio.run(flood()), *(client.get("/ready").status_code for _ in range(20))] == [200] * 40
    metrics = service.get("/metrics", headers={"authorization": f"Bearer {SERVICE}"}).text
    assert 'rawless_requests_total{route="/ready",status="200"} 2.0' in metrics  # as encoder and as classifier


def test_a_service_is_checked_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "SECONDS", 0.0)
    outcomes: list[Exception | None] = [RequestError(ErrorCode.QUEUE_FULL), ValueError("content"), None]

    async def check() -> None:
        if outcome := outcomes.pop(0):
            raise outcome

    async def ask() -> list[Any]:
        ready = readiness.Readiness(check)
        return [error for _ in range(3) for error in await asyncio.gather(ready.check(), return_exceptions=True)]

    full, failed, good = asyncio.run(ask())
    assert (full.code, failed.code, good) == ("queue_full", "unavailable", None)


def test_an_orchestrator_without_services_or_a_token_does_not_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"give encoder\.url and classifier\.url"):
        bench.start({"topic": {}}, "orchestrator")
    monkeypatch.delenv(TOKEN_VARIABLE)
    url = {"url": "https://encoder.example"}
    with pytest.raises(UserError, match="requires a token: set RAWLESS_SERVICE_TOKEN"):
        bench.start({"topic": {}}, "orchestrator", encoder=url, classifier=url)


def test_separate_services_answer_many_callers(bench: Bench) -> None:
    bench.deploy("topic")
    separate, encoder, _ = _split(bench, {"topic": {}})
    statuses: list[int] = []

    def call(number: int) -> None:
        answer = separate.post("/v1/heads/topic/predict", json={"text": f"question {number}"})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    together = separate.post("/v1/heads/topic/predict", json=[{"text": f"question {n}"} for n in range(32)]).json()
    assert statuses == [200] * 32
    assert ["prediction" in result for result in together["results"]] == [True] * 32
    assert encoder.get("/metrics", headers={"authorization": f"Bearer {SERVICE}"}).status_code == 200
