"""A service that is asked too much, too slowly or for too long."""

import asyncio
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from urllib.parse import urlparse

import httpx
import pytest

from encoders.encoder import Encoder
from rawless.errors import Unavailable
from rawless.serving import encoding
from rawless.serving.connection import MAX_HEADERS
from rawless.serving.encoding import LocalEncoderBackend
from tests.serving.conftest import Bench, eventually

PREDICT = "/v1/heads/topic/predict"
TEXT = {"text": "Where is my parcel?"}


class _Held:
    """The real encoder, which gives nothing out before it may."""

    def __init__(self, encoder: Encoder) -> None:
        self.spec, self.capacity = encoder.spec, encoder.capacity
        self.go_on = threading.Event()
        self.fault: Exception | None = None
        self._encoder = encoder

    def submit(self, *arguments: object) -> "Future[object]":
        outcome: Future[object] = Future()
        outcome.set_running_or_notify_cancel()
        threading.Thread(target=self._answer, args=(outcome, arguments)).start()
        return outcome

    def _answer(self, outcome: "Future[object]", arguments: tuple[object, ...]) -> None:
        self.go_on.wait(30)
        if self.fault:
            outcome.set_exception(self.fault)
        else:
            outcome.set_result(self._encoder.submit(*arguments).result())  # type: ignore[arg-type]

    def runs(self) -> list[object]:
        return []


@pytest.fixture
def held(minilm: Encoder, monkeypatch: pytest.MonkeyPatch) -> _Held:
    made = _Held(minilm)
    monkeypatch.setattr(encoding, "load", lambda *_: made)
    return made


def _ask(client: httpx.Client, answers: list[httpx.Response]) -> threading.Thread:
    thread = threading.Thread(target=lambda: answers.append(client.post(PREDICT, json=TEXT)))
    thread.start()
    return thread


def test_more_than_may_wait_are_told_when_to_come_back(bench: Bench, held: _Held) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"queue": 3})
    answers: list[httpx.Response] = []
    threads = [_ask(client, answers) for _ in range(3)]
    eventually(lambda: "rawless_requests_in_progress 3.0" in client.get("/metrics").text)

    refused = client.post(PREDICT, json=TEXT)
    probe = client.get("/healthz")
    held.go_on.set()
    for each in threads:
        each.join()

    assert (refused.status_code, refused.json()["reason"]) == (503, "queue_full")
    assert int(refused.headers["retry-after"]) > 0
    assert probe.status_code == 200
    assert [each.status_code for each in answers] == [200] * 3
    assert client.post(PREDICT, json=TEXT).status_code == 200


def test_what_takes_too_long_is_answered_and_still_takes_its_place(bench: Bench, held: _Held) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"queue": 2, "seconds": 0.3})

    slow = [client.post(PREDICT, json=TEXT) for _ in range(2)]
    full = client.post(PREDICT, json=TEXT)
    held.go_on.set()
    eventually(lambda: client.post(PREDICT, json=TEXT).status_code == 200)

    assert [(each.status_code, each.json()["reason"]) for each in slow] == [(504, "too_slow")] * 2
    assert full.json()["reason"] == "queue_full"


def test_a_kill_switch_that_goes_while_content_is_encoded_holds_for_it(bench: Bench, held: _Held) -> None:
    for name in ("topic", "urgency"):
        bench.deploy(name)
    (bench.folder / "stop").touch()
    client = bench.start({"topic": {"also": ["urgency"], "rules": {"kill_switch": "stop"}}, "urgency": {}})
    answers: list[httpx.Response] = []
    thread = _ask(client, answers)
    eventually(lambda: "rawless_requests_in_progress 1.0" in client.get("/metrics").text)

    (bench.folder / "stop").unlink()
    time.sleep(0.3)  # several looks
    held.go_on.set()
    thread.join()

    told = answers[0].json()
    assert (told["abstention"], told["prediction"], told["model"]) == ("kill_switch", None, None)
    assert told["also"]["urgency"]["abstention"] is None


def test_an_encoder_that_fails_for_all_is_unavailable(bench: Bench, held: _Held) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    held.fault = Unavailable("The encoder ran out of memory; secret words")
    held.go_on.set()

    answer = client.post(PREDICT, json=TEXT)

    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert "secret" not in answer.text


def test_a_fault_of_ours_is_told_without_its_words(
    bench: Bench, held: _Held, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    held.fault = ValueError("could not encode 'Where is my parcel?'")
    held.go_on.set()

    answer = client.post(PREDICT, json=TEXT)

    assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
    assert "parcel" not in answer.text + "".join(capfd.readouterr())


def _raw(client: httpx.Client, sent: bytes) -> socket.socket:
    at = urlparse(str(client.base_url))
    made = socket.create_connection((at.hostname, at.port), timeout=30)
    made.sendall(sent)
    return made


def _head(headers: Mapping[str, object]) -> bytes:
    lines = [f"POST {PREDICT} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def test_a_body_that_does_not_come_is_not_waited_for(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"seconds": 0.3})

    with _raw(client, _head({"Content-Length": 100}) + b'{"text": "a') as slow:
        answer = slow.recv(4096)

    assert answer.startswith(b"HTTP/1.1 504")


def test_a_caller_who_goes_half_way_leaves_no_trace(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    _raw(client, _head({"Content-Length": 100}) + b'{"text": "Rosalind').close()
    eventually(lambda: 'route="/v1/heads/topic/predict",status="499"' in client.get("/metrics").text)

    assert client.post(PREDICT, json=TEXT).status_code == 200
    assert "".join(capfd.readouterr()) == ""


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    with _raw(client, _head({"Transfer-Encoding": "chunked"})) as endless:
        try:
            for _ in range(1000):
                endless.sendall(chunk)
        except OSError:
            pass  # it was told to go
        answer = endless.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413") or answer == b""
    assert client.post(PREDICT, json=TEXT).status_code == 200


def test_an_encoder_never_holds_more_than_it_may(minilm: Encoder) -> None:
    from rawless.events.stream import Stream
    from rawless.privacy import Raw
    from rawless.serving.errors import RequestError
    from tests.serving.conftest import TEXT_STREAM

    encoders, stream = LocalEncoderBackend([minilm.spec], "cpu", 2), Stream.model_validate(TEXT_STREAM)

    async def flood() -> list[object]:
        asked = [encoders.encode(stream, minilm.spec.fingerprint, Raw(b"hello")) for _ in range(20)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(flood())
    refused = [each for each in found if isinstance(each, RequestError)]
    assert 0 < len(refused) <= 18
    assert {each.code.value for each in refused} == {"queue_full"}


def _refused(client: httpx.Client, sent: bytes, more: bytes) -> bytes:
    """What is answered to what is sent, and then goes on for as long as it may."""
    with _raw(client, sent) as endless:
        endless.settimeout(10)
        try:
            for _ in range(64):
                endless.sendall(more)
        except ConnectionError:
            pass  # it was told to go
        try:
            return endless.recv(4096)
        except ConnectionError:
            return b""


@pytest.mark.parametrize("before", [b"GET /", b"GET /healthz HTTP/1.1\r\nX: "])
def test_a_head_without_end_is_not_held(bench: Bench, monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    """The parser would keep all of it, and take ever longer for each byte more."""
    monkeypatch.setattr("rawless.serving.connection.TIMEOUT_SECONDS", 60)
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    answer = _refused(client, before, b"a" * (1 << 20))

    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert client.get("/healthz").status_code == 200


def test_headers_without_number_are_refused(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    answer = _refused(client, _head({f"X-{number}": 1 for number in range(MAX_HEADERS)}), b"")

    assert answer.startswith(b"HTTP/1.1 400")


def test_what_comes_after_a_body_is_no_header(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    body = b'e\r\n{"text": "hi"}\r\n0\r\nRawless-Event-Id: no id\r\nContent-Type: text/html\r\n\r\n'

    with _raw(client, _head({"Transfer-Encoding": "chunked"}) + body) as trailing:
        answer = trailing.recv(4096)

    assert answer.startswith(b"HTTP/1.1 200")


def test_metadata_that_are_sent_twice_are_refused(bench: Bench) -> None:
    """Whoever stands between may have read the other one."""
    bench.deploy("topic")
    twice = b"Content-Length: 13\r\nRawless-Event-Id: msg-0001\r\nRawless-Event-Id: msg-0002\r\n\r\n"

    with _raw(bench.start({"topic": {}}), _head({})[:-2] + twice + b'{"text": "a"}') as one:
        assert one.recv(4096).startswith(b"HTTP/1.1 422")


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: l"])
def test_a_head_that_does_not_come_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("rawless.serving.connection.TIMEOUT_SECONDS", 0.2)
    bench.deploy("topic")

    with _raw(bench.start({"topic": {}}), sent) as idle:
        idle.settimeout(5)
        assert idle.recv(4096) == b""


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawless.serving.connection.TIMEOUT_SECONDS", 0.5)
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"seconds": 0.2})

    with _raw(client, _head({"Content-Length": 100})) as slow:
        slow.settimeout(5)
        told = slow.recv(4096)
        while rest := slow.recv(4096):
            told += rest

    assert told.startswith(b"HTTP/1.1 504")


def test_a_request_for_another_protocol_is_answered_in_this_one(bench: Bench) -> None:
    bench.deploy("topic")
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    with _raw(bench.start({"topic": {}}), asked) as one:
        answer = one.recv(4096)

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()
