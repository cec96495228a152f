"""Encoder and classifier as services of their own: the same answers, and no other caller."""

import hashlib
import json
import threading
from typing import Any

import httpx
import pytest

from encoders.encoder import Encoder
from rawless.errors import UserError
from rawless.serving.remote import TOKEN_VARIABLE
from rawless.warehouse.append import append_all
from tests.serving.conftest import Bench, vector_of
from tests.shop import Shop, make_row

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


def _split(bench: Bench, heads: dict[str, Any], **told: Any) -> tuple[httpx.Client, httpx.Client, httpx.Client]:
    encoder = bench.start(heads, "encoder", access=ACCESS)
    classifier = bench.start(heads, "classifier", access=ACCESS, **told)
    urls = {"encoder": {"url": str(encoder.base_url)}, "classifier": {"url": str(classifier.base_url)}}
    return bench.start(heads, "orchestrator", **urls), encoder, classifier


def test_apart_they_answer_what_they_answer_together(bench: Bench, resnet: Encoder, picture: bytes) -> None:
    for name, spec in (("topic", None), ("urgency", None), ("digit", resnet.spec)):
        bench.deploy(name, spec=spec)
    heads = {"topic": {"also": ["urgency"]}, "urgency": {}, "digit": {"stream": "upload.yaml"}}
    together = bench.start(heads)
    apart, _, _ = _split(bench, heads)

    def answers(client: httpx.Client) -> list[Any]:
        found = [
            client.post("/v1/heads/topic/predict", json={"text": TEXT}, headers={"rawless-event-id": "msg-0001"}),
            client.post(
                "/v1/heads/digit/predict",
                content=picture,
                headers={"content-type": "image/png", "rawless-event-id": "a"},
            ),
            client.post("/v1/heads/topic/predict", json={"text": "\0"}),
            client.post("/v1/heads/digit/predict", content=b"none", headers={"content-type": "image/png"}),
            client.get("/v1/heads"),
            client.get("/readyz"),
        ]
        return [each.json() for each in found]

    for mine, theirs in zip(answers(apart), answers(together), strict=True):
        numbers = [each.pop("probabilities", None) for each in (mine, theirs)]
        also = [each.pop("also", {}).get("urgency", {}).pop("probabilities", None) for each in (mine, theirs)]
        assert mine == theirs
        for first, second in (numbers, also):
            assert first == (second and pytest.approx(second, abs=1e-5))


def test_a_query_is_scored_apart_too(bench: Bench, shop: Shop, minilm: Encoder) -> None:
    told = {"encoder": "minilm", "encoder_fingerprint": minilm.spec.fingerprint}
    texts = ["How do I pay?", "The app crashes.", "Delete my account."]
    append_all(
        shop.warehouse,
        [make_row(n, told | {"embedding": vector_of(minilm, text.encode())}) for n, text in enumerate(texts)],
    )
    snapshot = shop.build(encoder="minilm@1.0.0", rules=None).manifest.snapshot_id
    bench.deploy("scorer", kind="pair")
    heads = {"scorer": {"index": snapshot}}
    together = bench.start(heads, warehouse=shop.warehouse)
    apart, _, classifier = _split(bench, heads, warehouse=shop.warehouse)

    headers = {"rawless-attributes": json.dumps({"channel": "chat"})}
    mine, theirs = (
        client.post("/v1/heads/scorer/score?top=2", json={"text": TEXT}, headers=headers).json()
        for client in (apart, together)
    )

    assert [each["event_id"] for each in mine["matches"]] == [each["event_id"] for each in theirs["matches"]]
    assert len(mine["matches"]) == 2
    assert classifier.post(f"/v1/models/scorer/rank/{snapshot}", content=b"1234").status_code == 401


def test_only_a_token_for_it_encodes_or_classifies(bench: Bench, minilm: Encoder) -> None:
    bench.deploy("topic")
    _, encoder, classifier = _split(bench, {"topic": {}})
    encode = f"/v1/streams/message/encoders/{minilm.spec.fingerprint}"

    def status(client: httpx.Client, path: str, token: str, content: bytes = b"hello", **headers: str) -> int:
        own = {"authorization": f"Bearer {token}", "content-type": "application/octet-stream", **headers}
        return client.post(path, content=content, headers=own).status_code

    assert status(encoder, encode, SERVICE) == 200
    assert status(encoder, encode, OTHER) == 403
    assert status(encoder, encode, "unknown") == 401
    assert status(encoder, encode.replace("message", "other"), SERVICE) == 404
    assert status(encoder, encode[:-1], SERVICE) == 404
    assert status(encoder, encode, SERVICE, b"x" * 5000) == 413
    assert status(encoder, encode, SERVICE, b"\xff") == 422
    assert status(encoder, encode, SERVICE, **{"content-type": "text/plain"}) == 415
    answer, vector = "/v1/models/topic/answer", vector_of(minilm, b"hello").tobytes()
    mine = {"rawless-encoder-fingerprint": minilm.spec.fingerprint}
    assert status(classifier, answer, SERVICE, vector, **mine) == 200
    assert status(classifier, answer, OTHER, vector, **mine) == 403
    assert status(classifier, answer, SERVICE, vector) == 503  # of which encoder was not said: never a wrong score
    assert status(classifier, answer, SERVICE, vector[:-3], **mine) == 400
    assert status(classifier, answer, SERVICE, vector[:-4], **mine) == 400
    assert status(classifier, answer, SERVICE, b"", **mine) == 400
    assert status(classifier, answer.replace("topic", "other"), SERVICE, vector, **mine) == 404


def test_what_the_services_keep_from_the_orchestrator_it_keeps_from_callers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.deploy("topic")
    apart, _, _ = _split(bench, {"topic": {}})
    monkeypatch.setenv(TOKEN_VARIABLE, "revoked")

    answer = apart.post("/v1/heads/topic/predict", json={"text": TEXT})

    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_service_that_is_away_is_503_and_comes_back(bench: Bench) -> None:
    import socket

    bench.deploy("topic")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        client = bench.start({"topic": {}}, "orchestrator", encoder={"url": url}, classifier={"url": url})

        answers = [client.post("/v1/heads/topic/predict", json={"text": TEXT}) for _ in range(3)]
        ready, listed = client.get("/readyz"), client.get("/v1/heads")

    assert [each.status_code for each in (*answers, ready, listed)] == [503] * 5
    assert {each.json()["reason"] for each in answers} == {"unavailable"}


def test_an_orchestrator_without_services_or_a_token_does_not_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"give encoder\.url and classifier\.url"):
        bench.start({"topic": {}}, "orchestrator")
    monkeypatch.delenv(TOKEN_VARIABLE)
    url = {"url": "https://encoder.example"}
    with pytest.raises(UserError, match="requires a token: set RAWLESS_SERVICE_TOKEN"):
        bench.start({"topic": {}}, "orchestrator", encoder=url, classifier=url)


def test_many_callers_share_batches_apart_too(bench: Bench) -> None:
    bench.deploy("topic")
    apart, encoder, _ = _split(bench, {"topic": {}})
    statuses: list[int] = []

    def ask(number: int) -> None:
        answer = apart.post("/v1/heads/topic/predict", json={"text": f"question {number}"})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert statuses == [200] * 32
    assert encoder.get("/metrics", headers={"authorization": f"Bearer {SERVICE}"}).status_code == 200
