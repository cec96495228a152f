"""Several items in one request, in JSON and in forms: each has its own answer, or its own reason."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from encoders.encoder import Encoder
from rawless.answers import Problem, Results
from rawless.warehouse.client import Warehouse
from tests.serving.conftest import Bench, eventually

PREDICT, DIGIT = "/v1/heads/topic/predict", "/v1/heads/digit/predict"
MARKER = "Rosalind-0815-Quibble"
TEXTS = ["Where is my parcel?", "The app crashes.", "Delete my account."]
BOUNDARY = "----boundary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(tiny_bench: Bench) -> httpx.Client:
    tiny_bench.deploy("topic")
    return tiny_bench.start({"topic": {}}, limits={"items": 4, "queue": 16})


@pytest.fixture
def images(bench: Bench, resnet: Encoder) -> httpx.Client:
    bench.deploy("digit", spec=resnet.spec)
    return bench.start({"digit": {"stream": "upload.yaml"}}, limits={"items": 4, "queue": 16})


def _results(answer: httpx.Response) -> Results:
    assert answer.status_code == 200, answer.text
    results = Results.model_validate_json(answer.content)
    assert [each.index for each in results.results] == list(range(len(results.results)))
    return results


def _outcomes(answer: httpx.Response) -> list[str | None]:
    """The reason of each item, None for one with a prediction."""
    return [each.reason for each in _results(answer).results]


@pytest.mark.parametrize("wrapped", [True, False])
def test_each_item_gets_the_answer_that_it_gets_alone(client: httpx.Client, wrapped: bool) -> None:
    items = [{"text": text, "event_id": f"msg-000{n}"} for n, text in enumerate(TEXTS)]

    together = _results(client.post(PREDICT, json={"items": items} if wrapped else items))

    for item, result in zip(items, together.results, strict=True):
        alone = client.post(PREDICT, json={"text": item["text"]}).json()
        assert result.prediction is not None
        assert result.prediction.event_id == item["event_id"]
        assert result.prediction.probabilities == pytest.approx(alone["probabilities"], abs=1e-5)


def test_an_invalid_item_does_not_fail_its_neighbours(client: httpx.Client) -> None:
    body = '[{"text": "a"}, {"text": ""}, {"text": "b", "text": "c"}, {"text": "d", "event_id": "MARKER"}]'
    more = [MARKER, {"text": "a", MARKER: 1}, {"text": [MARKER]}, {"text": "a", "attributes": MARKER}]

    first, second = (
        client.post(PREDICT, content=body.replace("MARKER", MARKER), headers=JSON),
        client.post(PREDICT, json=more),
    )
    third = client.post(
        PREDICT, json=[{"text": "a", "features": [MARKER]}, {"text": "a", "assignment_key": 1}, {}, None]
    )

    assert _outcomes(first) == [None, "empty_text", "malformed_event", "bad_event_id"]
    assert _outcomes(second) == ["malformed_event"] * 4
    assert _outcomes(third) == ["malformed_event", "malformed_event", "empty_payload", "malformed_event"]
    assert MARKER not in first.text + second.text + third.text


def test_headers_hold_for_all_items_that_do_not_say_otherwise(tiny_bench: Bench) -> None:
    tiny_bench.deploy("topic")
    client = tiny_bench.start({"topic": {"rules": {"deny": {"channel": ["email"]}}}})
    items = [{"text": "a"}, {"text": "b", "attributes": {"channel": "chat"}}]

    answer = client.post(PREDICT, json=items, headers={"rawless-attributes": '{"channel": "email"}'})

    predictions = [each.prediction for each in _results(answer).results]
    assert [each and each.abstention for each in predictions] == ["denied", None]


def test_arms_are_assigned_to_each_item_by_its_own_key(tiny_bench: Bench) -> None:
    for name in ("topic", "other"):
        tiny_bench.deploy(name)
    client = tiny_bench.start({"topic": {"arms": {"topic": 1, "other": 1}}})
    keys = [str(n) for n in range(20)]

    def heads(keys: list[str]) -> list[str]:
        answer = client.post(PREDICT, json=[{"text": "a", "assignment_key": key} for key in keys])
        return [each.prediction.model.head for each in _results(answer).results if each.prediction.model]  # type: ignore[union-attr]

    assert set(heads(keys)) == {"topic", "other"}
    assert heads(keys) == heads(keys[::-1])[::-1]
    alone = [client.post(PREDICT, json={"text": "a"}, headers={"rawless-assignment-key": key}).json() for key in keys]
    assert [each["model"]["head"] for each in alone] == heads(keys)


_MANY = [{"text": "a"}] * 5
WHOLE_REQUESTS: dict[str, tuple[str, Mapping[str, str], int, str]] = {
    "more values than items have": (json.dumps([{"text": [[]] * 5000}]), {}, 413, "too_many_items"),
    "more strings than items have": (json.dumps([{"text": [""] * 5000}]), {}, 413, "too_many_items"),
    "no items": ("[]", {}, 422, "no_items"),
    "no items in an object": ('{"items": []}', {}, 422, "no_items"),
    "too many items": (json.dumps(_MANY), {}, 413, "too_many_items"),
    "the same event id twice": (json.dumps([{"text": "a", "event_id": "msg-0001"}] * 2), {}, 422, "duplicate_event_id"),
    "one event id for all": (json.dumps(_MANY[:2]), {"rawless-event-id": "msg-0001"}, 422, "duplicate_event_id"),
    "items twice": ('{"items": [], "items": []}', {}, 422, "malformed_event"),
    "items that are no list": (json.dumps({"items": {"text": MARKER}}), {}, 422, "malformed_event"),
    "something beside the items": (json.dumps({"items": [], MARKER: 1}), {}, 422, "malformed_event"),
    "a deep list": ("[" * 3_000, {}, 422, "malformed_event"),
    "a deep item": ('[{"text": ' + "[" * 3_000, {}, 422, "malformed_event"),
    "a list that is cut off": (f'[{{"text": "{MARKER}"', {}, 422, "malformed_event"),
    "a malformed header": (json.dumps(_MANY[:2]), {"rawless-attributes": MARKER}, 422, "malformed_event"),
    "too many bytes": (json.dumps([{"text": "a" * 300_000}] * 4), {}, 413, "batch_too_large"),
    "a type that is sent twice": ("[]", {"content-type": "multipart/form-data"}, 415, "unsupported_media_type"),
}


def test_a_request_that_cannot_be_read_is_refused_as_a_whole(client: httpx.Client) -> None:
    for case, (body, headers, status, reason) in WHOLE_REQUESTS.items():
        answer = client.post(PREDICT, content=body, headers=[*JSON.items(), *headers.items()])

        problem = Problem.model_validate_json(answer.content)
        assert (answer.status_code, problem.reason) == (status, reason), case
        assert MARKER not in answer.text + str(answer.headers), case
    assert client.post(PREDICT, json={"text": "a"}).status_code == 200


@pytest.mark.parametrize("text", ["," * 2000, "[{" * 1000, '\\"' * 1000, '"\\' * 1000, '"' * 2000])
def test_signs_in_a_text_do_not_count_as_values(client: httpx.Client, text: str) -> None:
    assert _outcomes(client.post(PREDICT, json=[{"text": text}] * 4)) == [None] * 4


def test_images_are_taken_as_files_of_a_form_and_in_json(images: httpx.Client, image: bytes) -> None:
    files = [("file", (f"{MARKER}.png", image, "image/png")), ("file", ("b", b"none", "image/png"))]
    metadata = json.dumps([{"event_id": "msg-0001"}, None])

    form = images.post(DIGIT, files=[*files, ("metadata", (None, metadata, "application/json"))])
    apart = [("metadata", (None, sent, "application/json")) for sent in ('{"event_id": "msg-0001"}', "null")]
    assert _outcomes(images.post(DIGIT, files=[*files, *apart])) == _outcomes(form)
    in_json = images.post(DIGIT, json=[{"payload_base64": base64.b64encode(image).decode()}, {"payload_base64": "?"}])
    alone = images.post(DIGIT, content=image, headers={"content-type": "image/png"}).json()

    assert _outcomes(form) == [None, "unsupported_image_format"]
    assert _outcomes(in_json) == [None, "malformed_event"]
    for answer in (form, in_json):
        prediction = _results(answer).results[0].prediction
        assert prediction is not None
        assert prediction.probabilities == pytest.approx(alone["probabilities"], abs=1e-5)
    assert _results(form).results[0].prediction.event_id == "msg-0001"  # type: ignore[union-attr]
    assert MARKER not in form.text


def test_texts_are_taken_as_fields_of_a_form(client: httpx.Client) -> None:
    fields = [("text", (None, text)) for text in ("Where is my parcel?", "", "Crème brûlée")]
    encoded = ("text", ("a.txt", "Crème".encode("latin-1"), "text/plain; charset=latin1"))

    answer = client.post(PREDICT, files=[*fields, encoded])

    assert _outcomes(answer) == [None, "empty_text", None, "unsupported_media_type"]


def _form(*parts: str, end: str = "--\r\n") -> bytes:
    return "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts).encode() + f"--{BOUNDARY}{end}".encode()


def _part(disposition: str, content: str = "a", *headers: str) -> str:
    return "\r\n".join([f"Content-Disposition: form-data; {disposition}", *headers, "", content])


_TWICE = _part('name="text"', "a", 'content-disposition: form-data; name="text"')
_TEXT, _FILE = _part('name="text"'), _part(f'name="file"; filename="{MARKER}"')
FORMS: dict[str, tuple[bytes, str]] = {
    "no parts": (_form(), "no_items"),
    "an empty body": (b"", "malformed_form"),
    "no form": (MARKER.encode(), "malformed_form"),
    "a form that is cut off": (_form(_TEXT)[:-10], "malformed_form"),
    "a form without its last boundary": (_form(_TEXT, end=""), "malformed_form"),
    "a part without its headers' end": (_form("Content-Disposition: form-data; name=text"), "malformed_form"),
    "a part without a name": (_form(_part(f'filename="{MARKER}"')), "malformed_form"),
    "a header that is sent twice": (_form(_TWICE), "malformed_form"),
    "a header on two lines": (_form(_part('name="text"', "a", f" {MARKER}")), "malformed_form"),
    "a long header": (_form(_part(f'name="text"; filename="{MARKER * 1000}"')), "malformed_form"),
    "many headers": (_form(_part('name="text"', "a", *(f"x-{n}: {MARKER}" for n in range(20)))), "malformed_form"),
    "an encoded part": (_form(_part('name="text"', "YQ==", "Content-Transfer-Encoding: base64")), "malformed_form"),
    "another disposition": (_form(_TEXT.replace("form-data", "attachment")), "malformed_form"),
    "another field": (_form(_part(f'name="{MARKER}"')), "unknown_field"),
    "a name in another encoding": (_form(_TEXT).replace(b"text", b"\xff"), "malformed_form"),
    "a file for a head of texts": (_form(_FILE), "unknown_field"),
    "too many parts": (_form(*[_TEXT] * 5), "too_many_items"),
    "very many parts": (_form(*[_TEXT] * 1000), "too_many_items"),
    "metadata alone": (_form(_part('name="metadata"', "[]")), "no_items"),
    "metadata that is no JSON": (_form(_TEXT, _part('name="metadata"', MARKER)), "bad_metadata"),
    "metadata of too few items": (_form(_TEXT, _TEXT, _part('name="metadata"', "[{}]")), "bad_metadata"),
    "metadata of too many items": (_form(_TEXT, *[_part('name="metadata"', "[{}]")] * 3), "bad_metadata"),
    "metadata with the same id twice": (
        _form(_TEXT, _TEXT, _part('name="metadata"', '[{"event_id": "msg-1"}, {"event_id": "msg-1"}]')),
        "duplicate_event_id",
    ),
}


def test_a_form_that_cannot_be_read_is_refused_as_a_whole(client: httpx.Client) -> None:
    for case, (body, reason) in FORMS.items():
        answer = client.post(PREDICT, content=body, headers=FORM)

        problem = Problem.model_validate_json(answer.content)
        assert (problem.reason, 400 <= answer.status_code < 500) == (reason, True), case
        assert MARKER not in answer.text + str(answer.headers), case
    assert _outcomes(client.post(PREDICT, content=_form(_TEXT, _TEXT), headers=FORM)) == [None, None]


@pytest.mark.parametrize("boundary", ["", '; boundary=""', f"; boundary={'x' * 300}"])
def test_a_form_without_a_usable_boundary_is_refused(client: httpx.Client, boundary: str) -> None:
    answer = client.post(PREDICT, content=_form(_TEXT), headers={"content-type": f"multipart/form-data{boundary}"})

    assert (answer.status_code, answer.json()["reason"]) == (422, "malformed_form")


def test_a_file_needs_a_file_name_and_its_item_must_be_an_image(images: httpx.Client, image: bytes) -> None:
    no_file = images.post(DIGIT, content=_form(_part('name="file"', MARKER)), headers=FORM)
    nothing_chosen = images.post(DIGIT, content=_form(_part('name="file"; filename=""', "")), headers=FORM)
    as_text = images.post(DIGIT, json={"payload_base64": base64.b64encode(image).decode()})

    assert (no_file.status_code, no_file.json()["reason"]) == (422, "not_a_file")
    assert _outcomes(nothing_chosen) == ["empty_payload"]
    assert as_text.json()["reason"] == "malformed_event"


def test_metadata_may_not_name_content(client: httpx.Client) -> None:
    body = _form(_TEXT, _TEXT, _part('name="metadata"', json.dumps([{"text": MARKER}, {"payload": MARKER}])))

    assert _outcomes(client.post(PREDICT, content=body, headers=FORM)) == ["malformed_event"] * 2


def test_items_beyond_the_queue_are_refused_together(tiny_bench: Bench) -> None:
    """The queue has places for items, so that two requests with many take as much memory as many with one."""
    tiny_bench.deploy("topic")
    client = tiny_bench.start({"topic": {}}, limits={"items": 2, "queue": 2})

    assert _outcomes(client.post(PREDICT, json=[{"text": "a"}] * 2)) == [None, None]
    (offer,) = client.get("/v1/heads").json()["heads"]
    assert offer["max_items"] == 2
    assert offer["max_request_bytes"] == 2 << 16
    large = client.post(PREDICT, json=[{"text": "a" * (1 << 17)}])
    assert (large.status_code, large.json()["reason"]) == (413, "batch_too_large")


def test_the_items_of_a_request_reach_the_encoder_together(images: httpx.Client, image: bytes) -> None:
    def counted(name: str) -> float:
        lines = images.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"rawless_batch_items_{name}"))

    def batches() -> float:
        before = counted("count"), counted("sum")
        _outcomes(images.post(DIGIT, files=[("file", (str(n), image)) for n in range(4)]))
        eventually(lambda: counted("sum") == before[1] + 4)
        return counted("count") - before[0]

    # On a busy machine, one may be decoded only after the one before was encoded.
    assert any(batches() < 4 for _ in range(10))


def test_each_item_is_logged_as_an_event_of_its_own(tiny_bench: Bench, warehouse: Warehouse) -> None:
    tiny_bench.deploy("topic")
    client = tiny_bench.start({"topic": {"log": True}}, warehouse=warehouse)
    items: list[Any] = [
        {"text": f"text {n}", "event_id": f"msg-000{n}", "subject_id": f"person {n}", "attributes": {"channel": "chat"}}
        for n in range(3)
    ] + [{"text": "nobody", "event_id": "msg-0009"}, {"text": "no id", "subject_id": "person 7"}]

    outcomes = _outcomes(client.post(PREDICT, json=items))

    assert outcomes == [None, None, None, "missing_subject", "missing_event_id"]
    eventually(lambda: len(warehouse.query("SELECT event_id FROM prediction_v1")) == 3)
    rows = warehouse.query("SELECT event_id, subject_key FROM prediction_v1")
    assert {row["event_id"] for row in rows} == {"msg-0000", "msg-0001", "msg-0002"}
    assert len({row["subject_key"] for row in rows}) == 3
