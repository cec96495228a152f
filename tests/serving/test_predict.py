"""Predictions over HTTP, and the errors of invalid requests."""

import json

import httpx
import numpy as np
import pytest

from encoders.encoder import Encoder
from rawless.heads.session import open_head
from rawless.serving.responses import Prediction, Problem
from tests.drawn_heads import CLASSES
from tests.serving.conftest import Bench, vector_of

TEXT = "Where is my parcel?"
PREDICT = "/v1/heads/topic/predict"


@pytest.fixture
def client(bench: Bench) -> httpx.Client:
    bench.deploy("topic")
    return bench.start({"topic": {}})


def test_a_prediction_is_the_answer_of_the_head_for_the_vector(
    client: httpx.Client, bench: Bench, minilm: Encoder
) -> None:
    response = client.post(PREDICT, json={"text": TEXT})
    prediction = Prediction.model_validate_json(response.content)

    vector = vector_of(minilm, TEXT.encode())
    (expected,) = open_head(bench.heads / "topic" / "1").answer(embedding=vector[None])["probabilities"]
    assert response.status_code == 200
    assert prediction.model is not None
    assert (prediction.head, prediction.model.head, prediction.model.version) == ("topic", "topic", 1)
    assert (prediction.model.encoder, prediction.model.encoder_version) == ("minilm", "1.0.0")
    assert prediction.model.encoder_fingerprint == minilm.spec.fingerprint
    assert prediction.probabilities is not None
    assert list(prediction.probabilities) == list(CLASSES)
    np.testing.assert_allclose(list(prediction.probabilities.values()), expected, atol=1e-5)
    assert prediction.prediction == CLASSES[int(np.argmax(expected))]
    assert prediction.abstention is None


def test_an_image_and_a_head_that_returns_a_number(bench: Bench, resnet: Encoder, image: bytes) -> None:
    bench.deploy("digit", spec=resnet.spec)
    bench.deploy("size", spec=resnet.spec, kind="number")
    client = bench.start({name: {"stream": "upload.yaml"} for name in ("digit", "size")})

    answers = [
        client.post(f"/v1/heads/{name}/predict", content=image, headers={"content-type": kind}).json()
        for name in ("digit", "size")
        for kind in ("image/png", "application/octet-stream", "image/jpg")
    ]

    (value,) = open_head(bench.heads / "size" / "1").answer(embedding=vector_of(resnet, image)[None])["value"]
    for answer in answers[1:3]:
        assert answer["probabilities"] == pytest.approx(answers[0]["probabilities"], abs=1e-5)
    assert answers[3]["prediction"] == pytest.approx(value, rel=1e-4)
    assert answers[4]["probabilities"] is None


def test_several_heads_share_one_encoding(bench: Bench, minilm: Encoder) -> None:
    for name in ("topic", "urgency", "language"):
        bench.deploy(name)
    client = bench.start({"topic": {"also": ["urgency", "language"]}, "urgency": {}, "language": {}})
    encoded = 'rawless_batch_items_sum{encoder="minilm@1.0.0"}'

    before = _counted(client, encoded, 0)
    together = client.post(PREDICT, json={"text": TEXT}).json()
    alone = client.post("/v1/heads/urgency/predict", json={"text": TEXT}).json()
    items = _counted(client, encoded, before + 2) - before

    assert sorted(together["also"]) == ["language", "urgency"]
    assert together["also"]["urgency"]["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)
    assert together["also"]["urgency"]["event_id"] == together["event_id"]
    assert items == 2  # one per request


def _counted(client: httpx.Client, metric: str, at_least: float) -> float:
    from tests.serving.conftest import eventually

    total = 0.0

    def is_reached() -> bool:
        nonlocal total
        lines = client.get("/metrics").text.splitlines()
        total = sum(float(line.split()[-1]) for line in lines if line.startswith(metric))
        return total >= at_least

    eventually(is_reached)
    return total


MARKER = "Rosalind-0815-Quibble"
JSON = {"content-type": "application/json"}
INVALID = {
    "invalid JSON": (f"{{{MARKER}", {}, 422, "malformed_event"),
    "neither an object nor items": (f'"{MARKER}"', {}, 422, "malformed_event"),
    "another field": (json.dumps({"text": "a", MARKER: 1}), {}, 422, "malformed_event"),
    "no text": ("{}", {}, 422, "empty_payload"),
    "text of another type": (json.dumps({"text": [MARKER]}), {}, 422, "malformed_event"),
    "an empty text": ('{"text": " "}', {}, 422, "empty_text"),
    "half of a surrogate pair": ('{"text": "\\ud83d"}', {}, 422, "forbidden_characters"),
    "invalid UTF-8": (b'{"text": "\xff"}', {}, 422, "invalid_utf8"),
    "a deep object": ('{"text": ' + "[" * 5000, {}, 422, "malformed_event"),
    "a long text": (json.dumps({"text": MARKER * 200}), {}, 413, "payload_too_large"),
    "a long body": (json.dumps({"text": MARKER * 2000}), {}, 413, "payload_too_large"),
    "another type": (MARKER, {"content-type": "text/plain"}, 415, "unsupported_media_type"),
    "an image": (MARKER, {"content-type": "image/png"}, 415, "unsupported_media_type"),
    "another charset": ("{}", {"content-type": "application/json; charset=latin1"}, 415, "unsupported_media_type"),
    "a compressed body": ("{}", {"content-encoding": "gzip"}, 415, "unsupported_media_type"),
    "a bad event id": ('{"text": "a"}', {"rawless-event-id": MARKER}, 422, "bad_event_id"),
    "an empty event id": ('{"text": "a"}', {"rawless-event-id": ""}, 422, "missing_event_id"),
    "a bad time": ('{"text": "a"}', {"rawless-occurred-at": MARKER}, 422, "bad_occurred_at"),
    "a time in the future": ('{"text": "a"}', {"rawless-occurred-at": "2999-01-01T00:00:00Z"}, 422, "bad_occurred_at"),
    "invalid attributes": ('{"text": "a"}', {"rawless-attributes": MARKER}, 422, "malformed_event"),
    "a long subject": ('{"text": "a"}', {"rawless-subject-id": MARKER * 20}, 422, "malformed_event"),
    "metadata in invalid UTF-8": ('{"text": "a"}', {"rawless-subject-id": b"\xff"}, 422, "invalid_utf8"),
}


def test_invalid_requests_get_a_closed_code_and_are_not_repeated(client: httpx.Client) -> None:
    for case, (body, headers, status, reason) in INVALID.items():
        answer = client.post(PREDICT, content=body, headers={**JSON, **headers})

        problem = Problem.model_validate_json(answer.content)
        assert (answer.status_code, problem.reason) == (status, reason), case
        assert answer.headers["content-type"] == "application/problem+json"
        assert MARKER not in answer.text + str(answer.headers), case


@pytest.mark.parametrize("query", [f"text={MARKER}", MARKER, "top=1", "&", "="])
def test_a_query_string_is_refused(client: httpx.Client, query: str) -> None:
    """A proxy stores it in its log, and so do most servers on the way."""
    answer = client.post(f"{PREDICT}?{query}", content='{"text": "a"}', headers=JSON)

    assert (answer.status_code, answer.json()["reason"]) == (400, "bad_request")
    assert MARKER not in answer.text


@pytest.mark.parametrize(
    ("path", "method", "status", "reason"),
    [
        ("/v1/heads/other/predict", "POST", 404, "not_found"),
        (PREDICT, "GET", 405, "method_not_allowed"),
        (f"{PREDICT}/?{MARKER}", "POST", 404, "not_found"),
    ],
)
def test_unknown_paths_and_methods(client: httpx.Client, path: str, method: str, status: int, reason: str) -> None:
    answer = client.request(method, path)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert MARKER not in str(answer.headers)


def test_images_must_meet_the_limits_of_their_stream(bench: Bench, resnet: Encoder, image: bytes) -> None:
    bench.deploy("digit", spec=resnet.spec)
    client = bench.start({"digit": {"stream": "upload.yaml"}})

    def reason(content: bytes) -> str:
        headers = {"content-type": "image/png"}
        return str(client.post("/v1/heads/digit/predict", content=content, headers=headers).json()["reason"])

    gif = b"GIF89a" + bytes(40)
    assert reason(b"") == "empty_payload"
    assert reason(b"not an image") == "unsupported_image_format"
    assert reason(gif) == "unsupported_image_format"
    assert reason(image[:-20]) == "undecodable_image"
    assert reason(image.replace((60).to_bytes(4, "big"), (6000).to_bytes(4, "big"), 1)) in (
        "too_many_pixels",
        "undecodable_image",
    )


def test_the_event_id_is_returned(client: httpx.Client) -> None:
    sent = client.post(PREDICT, json={"text": TEXT}, headers={"rawless-event-id": "msg-0042"}).json()
    generated = [client.post(PREDICT, json={"text": TEXT}).json()["event_id"] for _ in range(2)]

    assert sent["event_id"] == "msg-0042"
    assert generated[0] != generated[1]


def test_a_long_text_is_reported_as_truncated(client: httpx.Client) -> None:
    prediction = client.post(PREDICT, json={"text": "word " * 399}).json()

    assert prediction["truncated"] is True


def test_served_heads_are_listed(client: httpx.Client) -> None:
    (offer,) = client.get("/v1/heads").json()["heads"]

    assert (offer["head"], offer["path"], offer["modality"]) == ("topic", PREDICT, "text")
    assert offer["arms"][0]["classes"] == list(CLASSES)
    assert offer["arms"][0]["model"]["version"] == 1
