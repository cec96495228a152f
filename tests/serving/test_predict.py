"""Raw content in, a prediction out: what callers get, and what they get instead."""

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


def test_a_text_gives_what_its_head_says_of_its_vector(client: httpx.Client, bench: Bench, minilm: Encoder) -> None:
    answer = client.post(PREDICT, json={"text": TEXT})
    told = Prediction.model_validate_json(answer.content)

    vector = vector_of(minilm, TEXT.encode())
    (expected,) = open_head(bench.heads / "topic" / "1").answer(embedding=vector[None])["probabilities"]
    assert answer.status_code == 200
    assert told.model is not None
    assert (told.head, told.model.head, told.model.version) == ("topic", "topic", 1)
    assert (told.model.encoder, told.model.encoder_version) == ("minilm", "1.0.0")
    assert told.model.encoder_fingerprint == minilm.spec.fingerprint
    assert told.probabilities is not None
    assert list(told.probabilities) == list(CLASSES)
    np.testing.assert_allclose(list(told.probabilities.values()), expected, atol=1e-5)
    assert told.prediction == CLASSES[int(np.argmax(expected))]
    assert told.abstention is None


def test_an_image_and_a_number(bench: Bench, resnet: Encoder, picture: bytes) -> None:
    bench.deploy("digit", spec=resnet.spec)
    bench.deploy("size", spec=resnet.spec, kind="number")
    client = bench.start({name: {"stream": "upload.yaml"} for name in ("digit", "size")})

    answers = [
        client.post(f"/v1/heads/{name}/predict", content=picture, headers={"content-type": kind}).json()
        for name in ("digit", "size")
        for kind in ("image/png", "application/octet-stream")
    ]

    (value,) = open_head(bench.heads / "size" / "1").answer(embedding=vector_of(resnet, picture)[None])["value"]
    assert answers[0]["probabilities"] == pytest.approx(answers[1]["probabilities"], abs=1e-5)
    assert answers[2]["prediction"] == pytest.approx(value, rel=1e-4)
    assert answers[3]["probabilities"] is None


def test_several_heads_share_one_encoding(bench: Bench, minilm: Encoder) -> None:
    for name in ("topic", "urgency", "language"):
        bench.deploy(name)
    client = bench.start({"topic": {"also": ["urgency", "language"]}, "urgency": {}, "language": {}})
    minilm.runs()

    told = client.post(PREDICT, json={"text": TEXT}).json()
    alone = client.post("/v1/heads/urgency/predict", json={"text": TEXT}).json()
    items = _counted(client, 'rawless_batch_items_sum{encoder="minilm@1.0.0"}', 2)

    assert sorted(told["also"]) == ["language", "urgency"]
    assert told["also"]["urgency"]["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)
    assert told["also"]["urgency"]["event_id"] == told["event_id"]
    assert items == 2  # one a request


def _counted(client: httpx.Client, metric: str, at_least: float) -> float:
    from tests.serving.conftest import eventually

    found = [0.0]

    def seen() -> bool:
        lines = client.get("/metrics").text.splitlines()
        found[0] = sum(float(line.split()[-1]) for line in lines if line.startswith(metric))
        return found[0] >= at_least

    eventually(seen)
    return found[0]


MARKER = "Rosalind-0815-Quibble"
JSON = {"content-type": "application/json"}
REFUSED = {
    "no JSON": (f"{{{MARKER}", {}, 422, "malformed_event"),
    "no object": (f'["{MARKER}"]', {}, 422, "malformed_event"),
    "another field": (json.dumps({"text": "a", MARKER: 1}), {}, 422, "malformed_event"),
    "no text": ("{}", {}, 422, "empty_payload"),
    "text of another type": (json.dumps({"text": [MARKER]}), {}, 422, "malformed_event"),
    "an empty text": ('{"text": " "}', {}, 422, "empty_text"),
    "half a character": ('{"text": "\\ud83d"}', {}, 422, "forbidden_characters"),
    "no UTF-8": (b'{"text": "\xff"}', {}, 422, "invalid_utf8"),
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
    "a time to come": ('{"text": "a"}', {"rawless-occurred-at": "2999-01-01T00:00:00Z"}, 422, "bad_occurred_at"),
    "attributes that are none": ('{"text": "a"}', {"rawless-attributes": MARKER}, 422, "malformed_event"),
    "a long subject": ('{"text": "a"}', {"rawless-subject-id": MARKER * 20}, 422, "malformed_event"),
    "metadata that is no UTF-8": ('{"text": "a"}', {"rawless-subject-id": b"\xff"}, 422, "invalid_utf8"),
}


def test_what_is_wrong_is_told_by_a_closed_code_and_nothing_of_it(client: httpx.Client) -> None:
    for case, (body, headers, status, reason) in REFUSED.items():
        answer = client.post(PREDICT, content=body, headers={**JSON, **headers})

        problem = Problem.model_validate_json(answer.content)
        assert (answer.status_code, problem.reason) == (status, reason), case
        assert answer.headers["content-type"] == "application/problem+json"
        assert MARKER not in answer.text + str(answer.headers), case


@pytest.mark.parametrize(
    ("path", "method", "status", "reason"),
    [
        ("/v1/heads/other/predict", "POST", 404, "not_found"),
        (PREDICT, "GET", 405, "method_not_allowed"),
        (f"{PREDICT}/?{MARKER}", "POST", 404, "not_found"),
    ],
)
def test_what_is_not_there(client: httpx.Client, path: str, method: str, status: int, reason: str) -> None:
    answer = client.request(method, path)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert MARKER not in str(answer.headers)


def test_a_picture_is_held_to_its_streams_limits(bench: Bench, resnet: Encoder, picture: bytes) -> None:
    bench.deploy("digit", spec=resnet.spec)
    client = bench.start({"digit": {"stream": "upload.yaml"}})

    def reason(content: bytes) -> str:
        told = client.post("/v1/heads/digit/predict", content=content, headers={"content-type": "image/png"}).json()
        return str(told["reason"])

    gif = b"GIF89a" + bytes(40)
    assert reason(b"") == "empty_payload"
    assert reason(b"no picture") == "unsupported_image_format"
    assert reason(gif) == "unsupported_image_format"
    assert reason(picture[:-20]) == "undecodable_image"
    assert reason(picture.replace((60).to_bytes(4, "big"), (6000).to_bytes(4, "big"), 1)) in (
        "too_many_pixels",
        "undecodable_image",
    )


def test_the_callers_id_comes_back(client: httpx.Client) -> None:
    mine = client.post(PREDICT, json={"text": TEXT}, headers={"rawless-event-id": "msg-0042"}).json()
    made = [client.post(PREDICT, json={"text": TEXT}).json()["event_id"] for _ in range(2)]

    assert mine["event_id"] == "msg-0042"
    assert made[0] != made[1]


def test_the_end_of_a_long_text_is_told_to_be_left_out(client: httpx.Client) -> None:
    told = client.post(PREDICT, json={"text": "word " * 399}).json()

    assert told["truncated"] is True


def test_what_can_be_asked_is_listed(client: httpx.Client) -> None:
    (offer,) = client.get("/v1/heads").json()["heads"]

    assert (offer["head"], offer["path"], offer["modality"]) == ("topic", PREDICT, "text")
    assert offer["arms"][0]["classes"] == list(CLASSES)
    assert offer["arms"][0]["model"]["version"] == 1
