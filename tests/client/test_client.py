"""The client of a service: the answers of a real one, and what it does when a service does not answer."""

import asyncio
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from rawless.answers import Result
from rawless.client import AsyncClient, Client, Item, ServiceError
from rawless.errors import UserError
from tests.serving.conftest import Bench, bench, image, resnet, tiny_bench
from tests.serving.test_origins import ACCESS, TOKEN

__all__ = ["bench", "image", "resnet", "tiny_bench"]
MARKER = "Rosalind-0815-Quibble"
PREDICTION = {
    "head": "topic", "event_id": "a", "model": None, "prediction": None, "probabilities": None,
    "abstention": "denied", "truncated": False, "new_field": 1,
}  # fmt: skip
OFFER = {
    "head": "topic", "path": "/v1/heads/topic/predict", "stream": "message", "encoder": "tiny@1.0.0",
    "modality": "text", "content_types": [], "max_items": 3, "max_request_bytes": 1000, "arms": [],
}  # fmt: skip
Respond = Callable[[httpx.Request], httpx.Response]


def _async_predict_many(url: str, head: str, items: Sequence[Item], **options: Any) -> list[Result]:
    async def run() -> list[Result]:
        async with AsyncClient(url, **options) as client:
            return await client.predict_many(head, items)

    return asyncio.run(run())


def _predict_many(url: str, head: str, items: Sequence[Item], **options: Any) -> list[Result]:
    with Client(url, **options) as client:
        return client.predict_many(head, items)


@pytest.mark.parametrize("predict_many", [_predict_many, _async_predict_many])
def test_many_items_are_answered_in_their_order(tiny_bench: Bench, predict_many: Callable[..., list[Result]]) -> None:
    tiny_bench.deploy("topic")
    service = tiny_bench.start({"topic": {}}, access=ACCESS, limits={"items": 4, "queue": 8})
    items = [Item(text=f"question {n}" if n % 5 else "", event_id=f"msg-{n:04}") for n in range(23)]

    results = predict_many(str(service.base_url), "topic", items, token=TOKEN, pause=0.01, retries=20)

    assert [result.index for result in results] == list(range(23))
    for n, result in enumerate(results):
        if n % 5:
            assert result.prediction is not None, result
            assert result.prediction.event_id == f"msg-{n:04}"
        else:
            assert result.reason == "empty_text"


def test_one_item_is_answered_with_its_metadata(tiny_bench: Bench) -> None:
    tiny_bench.deploy("topic")
    service = tiny_bench.start({"topic": {"rules": {"deny": {"channel": ["email"]}}}})

    with Client(str(service.base_url)) as client:
        plain = client.predict("topic", text="Where is my parcel?", subject_id="Jürgen")
        denied = client.predict(
            "topic", text="a", event_id="msg-0001", occurred_at=datetime.now(UTC), attributes={"channel": "email"}
        )
        (offer,) = client.heads()
        with pytest.raises(ServiceError) as refused:
            client.predict("topic", text=MARKER, event_id="wrong")

    assert plain.probabilities is not None
    assert (denied.abstention, denied.event_id) == ("denied", "msg-0001")
    assert offer.head == "topic"
    assert (refused.value.status, refused.value.reason) == (422, "bad_event_id")
    assert MARKER not in str(refused.value)


def test_images_are_answered_alone_and_with_others(bench: Bench, resnet: Any, image: bytes) -> None:
    bench.deploy("digit", spec=resnet.spec)
    service = bench.start({"digit": {"stream": "upload.yaml"}})

    with Client(str(service.base_url)) as client:
        alone = client.predict("digit", image=image)
        several = client.predict_many("digit", [Item(image=image), Item(image=b"none")])

    assert several[0].prediction is not None
    assert several[0].prediction.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
    assert several[1].reason == "unsupported_image_format"


class _Script:
    """A service that gives scripted responses, and records what it was sent."""

    def __init__(self, *responses: httpx.Response | Exception) -> None:
        self.responses, self.bodies = list(responses), list[Any]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/heads":
            return httpx.Response(200, json={"heads": [OFFER]})
        self.bodies.append(json.loads(request.content))
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    def client(self, retries: int = 2) -> Client:
        return Client("https://heads.example", retries=retries, pause=0, transport=httpx.MockTransport(self))


def _problem(status: int, reason: str) -> httpx.Response:
    problem = {"title": "a", "status": status, "detail": "A sentence.", "reason": reason, "new_field": 1}
    return httpx.Response(status, json=problem, headers={"retry-after": "0"})


def _answer() -> httpx.Response:
    return httpx.Response(200, json=PREDICTION)


FULL, SLOW = _problem(503, "queue_full"), _problem(504, "too_slow")
REFUSED, LOST = httpx.ConnectError(MARKER), httpx.ReadError(MARKER)


@pytest.mark.parametrize(
    ("responses", "event_id", "reason"),
    [
        ([FULL, FULL], None, None),
        ([REFUSED, FULL], None, None),
        ([SLOW], "msg-1", None),
        ([LOST], "msg-1", None),
        ([SLOW], None, "too_slow"),  # it may have been logged, and would be logged as another event
        ([LOST], None, "no_answer"),
        ([FULL, FULL, FULL], None, "queue_full"),
        ([REFUSED] * 3, None, "no_connection"),
        ([_problem(422, "empty_text")], None, "empty_text"),
        ([httpx.Response(502, text=MARKER)], None, "unexpected_response"),
        ([httpx.Response(200, text=MARKER)], None, "unexpected_response"),
        ([httpx.Response(503, text=MARKER)], None, None),
        ([httpx.Response(307, headers={"location": "https://evil.example"})], None, "unexpected_response"),
    ],
)
def test_what_fails_for_a_moment_is_sent_again(
    responses: list[httpx.Response | Exception], event_id: str | None, reason: str | None
) -> None:
    script = _Script(*responses, _answer())

    if reason is None:
        assert script.client().predict("topic", text="a", event_id=event_id).abstention == "denied"
        assert len(script.bodies) == len(responses) + 1
        return
    with pytest.raises(ServiceError) as error:
        script.client().predict("topic", text="a", event_id=event_id)
    assert error.value.reason == reason
    assert len(script.bodies) == len(responses)
    assert MARKER not in str(error.value) + repr(error.value.__context__)
    assert pickle.loads(pickle.dumps(error.value)).reason == reason


def _results(*outcomes: str | None) -> httpx.Response:
    results = [
        {"index": n, "reason": each, "detail": "A sentence."} if each else {"index": n, "prediction": PREDICTION}
        for n, each in enumerate(outcomes)
    ]
    return httpx.Response(200, json={"results": results})


def test_only_the_items_that_failed_for_a_moment_are_sent_again() -> None:
    script = _Script(_results(None, "queue_full", "empty_text"), _results(None))

    results = script.client().predict_many("topic", [Item(text=text) for text in "abc"])

    assert [result.reason for result in results] == [None, None, "empty_text"]
    assert [[item["text"] for item in body["items"]] for body in script.bodies] == [["a", "b", "c"], ["b"]]


def test_a_request_that_fails_to_the_end_does_not_fail_the_others() -> None:
    script = _Script(FULL, FULL, _results(None), *[FULL] * 2)
    client = Client("https://heads.example", retries=0, pause=0, concurrency=1, transport=httpx.MockTransport(script))

    results = client.predict_many("topic", [Item(text=text) for text in "abcdefg"])

    assert [result.reason for result in results] == ["queue_full"] * 6 + [None]


def test_requests_have_no_more_items_and_bytes_than_the_service_takes() -> None:
    sizes: list[int] = []

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/heads":
            return httpx.Response(200, json={"heads": [OFFER]})
        sizes.append(len(request.content))
        return _results(*[None] * len(json.loads(request.content)["items"]))

    client = Client("https://heads.example", concurrency=1, transport=httpx.MockTransport(respond))

    assert len(client.predict_many("topic", [Item(text="a" * 400) for _ in range(5)])) == 5
    assert len(client.predict_many("topic", [Item(text="a") for _ in range(7)])) == 7
    assert (len(sizes), max(sizes) <= 1000) == (6, True)
    assert client.predict_many("topic", []) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Client("http://heads.example"), "must begin with https://"),
        (lambda: Client("heads.example"), "must begin with https://"),
        (lambda: Client("https://user:secret@heads.example"), "has a password"),
        (lambda: Client("https://heads.example", "to\nken"), "The token is empty, or has a character"),
        (lambda: Client("https://heads.example", ""), "The token is empty"),
        (
            lambda: Client("https://heads.example", concurrency=0),
            "concurrency is 0, but must be a number of at",
        ),
        (lambda: Client("https://heads.example", timeout="1"), "timeout is '1', but must be"),  # type: ignore[arg-type]
        (lambda: AsyncClient("https://heads.example", retry=1), "no setting retry, but timeout"),  # type: ignore[call-arg]
        (lambda: Item(), "exactly one of text, image and parts"),
        (lambda: Item(text="a", image=b"a"), "exactly one of text, image and parts"),
        (lambda: Item(image="a.jpg"), "image of an item is a str, but must be a bytes"),  # type: ignore[arg-type]
        (lambda: Item(text="a", occurred_at=datetime(2026, 1, 1)), "has no time zone"),  # noqa: DTZ001
        (lambda: _Script().client().predict("../x", text="a"), "^The first argument is not the name of a head"),
        (
            lambda: _Script().client().predict_many("../x", [Item(text="a")]),
            "^The first argument is not the name of a head",
        ),
        (lambda: Item(parts={"photo": 1}), "neither str nor bytes"),  # type: ignore[dict-item]
        (lambda: Item(text="a", attributes="b"), "attributes of an item is a str"),  # type: ignore[arg-type]
        (lambda: _Script().client().predict("topic", text="a", subject_id="a\r\nb"), "subject_id has a control"),
        (lambda: _Script().client().predict_many("other", [Item(text="a")]), "has no head 'other', but topic"),
        (lambda: _Script().client().predict_many("topic", ["a"]), "Item 0 is a str: wrap it"),  # type: ignore[list-item]
        (lambda: _Script().client().predict_many("topic", [Item(text="a", event_id="b")] * 2), "the event_id of an"),
    ],
)
def test_a_mistake_of_the_caller_is_named_before_anything_is_sent(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_an_item_is_shown_without_its_content() -> None:
    item = Item(text=MARKER, event_id="msg-1", subject_id=MARKER, attributes={"a": MARKER})

    assert (MARKER in repr(item), "msg-1" in repr(item)) == (False, True)


def test_the_client_imports_nothing_that_answers(tmp_path: Path) -> None:
    code = "import sys, rawless.client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.split()

    assert {"httpx", "pydantic", "rawless"} <= set(names)
    heavy = {"numpy", "pandas", "torch", "google", "fastapi", "starlette", "yaml", "encoders", "pyarrow", "PIL"}
    assert heavy & set(names) <= {"google"}  # a .pth file of Google's packages makes an empty module of it
