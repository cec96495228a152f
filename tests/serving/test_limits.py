"""Limits on the number, size and duration of requests."""

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
from rawless.serving.responses import Problem
from tests.serving.conftest import Bench, eventually

PREDICT = "/v1/heads/topic/predict"
TEXT = {"text": "Where is my parcel?"}


class _BlockedEncoder:
    """The real encoder, whose outcomes wait until it is released."""

    def __init__(self, encoder: Encoder) -> None:
        self.spec, self.capacity = encoder.spec, encoder.capacity
        self.released = threading.Event()
        self.error: Exception | None = None
        self.is_stuck = False
        self._encoder = encoder

    def submit(self, *arguments: object) -> "Future[object]":
        outcome: Future[object] = Future()
        outcome.set_running_or_notify_cancel()
        threading.Thread(target=self._answer, args=(outcome, arguments)).start()
        return outcome

    def _answer(self, outcome: "Future[object]", arguments: tuple[object, ...]) -> None:
        self.released.wait(30)
        if self.error:
            outcome.set_exception(self.error)
        else:
            outcome.set_result(self._encoder.submit(*arguments).result())  # type: ignore[arg-type]

    def runs(self) -> list[object]:
        return []

    def check_progress(self) -> None:
        if self.is_stuck:
            raise Unavailable("The encoder has produced nothing for 10 minutes.")


@pytest.fixture
def blocked(minilm: Encoder, monkeypatch: pytest.MonkeyPatch) -> _BlockedEncoder:
    encoder = _BlockedEncoder(minilm)
    monkeypatch.setattr(encoding, "load", lambda *_: encoder)
    return encoder


def _start_request(client: httpx.Client, responses: list[httpx.Response]) -> threading.Thread:
    thread = threading.Thread(target=lambda: responses.append(client.post(PREDICT, json=TEXT)))
    thread.start()
    return thread


def test_requests_beyond_the_queue_are_answered_with_retry_after(bench: Bench, blocked: _BlockedEncoder) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"queue": 3})
    responses: list[httpx.Response] = []
    threads = [_start_request(client, responses) for _ in range(3)]
    eventually(lambda: "rawless_requests_in_progress 3.0" in client.get("/metrics").text)

    refused = client.post(PREDICT, json=TEXT)
    probe = client.get("/health")
    blocked.released.set()
    for thread in threads:
        thread.join()

    assert (refused.status_code, refused.json()["reason"]) == (503, "queue_full")
    assert int(refused.headers["retry-after"]) > 0
    assert probe.status_code == 200
    assert [response.status_code for response in responses] == [200] * 3
    assert client.post(PREDICT, json=TEXT).status_code == 200


def test_a_request_that_times_out_still_occupies_the_queue(bench: Bench, blocked: _BlockedEncoder) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"queue": 2, "seconds": 0.3})

    slow = [client.post(PREDICT, json=TEXT) for _ in range(2)]
    full = client.post(PREDICT, json=TEXT)
    blocked.released.set()
    eventually(lambda: client.post(PREDICT, json=TEXT).status_code == 200)

    assert [(response.status_code, response.json()["reason"]) for response in slow] == [(504, "too_slow")] * 2
    assert full.json()["reason"] == "queue_full"


def test_items_of_requests_share_the_queue(bench: Bench, blocked: _BlockedEncoder) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"queue": 3})
    responses: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: responses.append(client.post(PREDICT, json=[TEXT, TEXT])))
    thread.start()
    eventually(lambda: "rawless_requests_in_progress 1.0" in client.get("/metrics").text)

    two = client.post(PREDICT, json=[TEXT, TEXT])
    blocked.released.set()
    thread.join()

    assert (two.status_code, two.json()["reason"]) == (503, "queue_full")
    assert [result["prediction"]["head"] for result in responses[0].json()["results"]] == ["topic"] * 2
    assert len(client.post(PREDICT, json=[TEXT] * 3).json()["results"]) == 3


def test_items_that_are_not_done_in_time_do_not_fail_the_others(bench: Bench, blocked: _BlockedEncoder) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {"rules": {"deny": {"channel": ["email"]}}}}, limits={"seconds": 0.5})

    answer = client.post(PREDICT, json=[TEXT, TEXT | {"attributes": {"channel": "email"}}, {"text": ""}])
    blocked.released.set()

    first, second, third = answer.json()["results"]
    assert (first["reason"], second["prediction"]["abstention"], third["reason"]) == (
        "too_slow",
        "denied",
        "empty_text",
    )
    refusals = [line for line in client.get("/metrics").text.splitlines() if line.startswith("rawless_refusals_total")]
    assert [line.split('reason="')[1].partition('"')[0] for line in refusals] == ["too_slow", "empty_text"]


def test_items_wait_for_each_other_when_the_encoder_takes_fewer_at_once(bench: Bench, blocked: _BlockedEncoder) -> None:
    bench.deploy("topic")
    blocked.capacity = 2
    blocked.released.set()
    client = bench.start({"topic": {}})

    results = client.post(PREDICT, json=[TEXT] * 7).json()["results"]

    assert ["prediction" in result for result in results] == [True] * 7


def test_a_kill_switch_that_is_removed_while_content_is_encoded_still_applies(
    bench: Bench, blocked: _BlockedEncoder
) -> None:
    for name in ("topic", "urgency"):
        bench.deploy(name)
    (bench.folder / "stop").touch()
    client = bench.start({"topic": {"also": ["urgency"], "rules": {"kill_switch": "stop"}}, "urgency": {}})
    responses: list[httpx.Response] = []
    thread = _start_request(client, responses)
    eventually(lambda: "rawless_requests_in_progress 1.0" in client.get("/metrics").text)

    (bench.folder / "stop").unlink()
    time.sleep(0.3)  # several refreshes
    blocked.released.set()
    thread.join()

    prediction = responses[0].json()
    assert (prediction["abstention"], prediction["prediction"], prediction["model"]) == ("kill_switch", None, None)
    assert prediction["also"]["urgency"]["abstention"] is None


def test_an_encoder_that_runs_out_of_memory_is_unavailable(bench: Bench, blocked: _BlockedEncoder) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    blocked.error = Unavailable("The encoder ran out of memory; secret words")
    blocked.released.set()

    answer = client.post(PREDICT, json=TEXT)

    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert "secret" not in answer.text


def test_a_service_whose_encoder_is_stuck_is_not_ready_and_queues_nothing_more(
    bench: Bench, blocked: _BlockedEncoder
) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    blocked.is_stuck = True

    assert client.post(PREDICT, json=TEXT).status_code == 503
    eventually(lambda: client.get("/ready").status_code == 503)


def test_an_internal_error_does_not_reveal_its_text(
    bench: Bench, blocked: _BlockedEncoder, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    blocked.error = ValueError("could not encode 'Where is my parcel?'")
    blocked.released.set()

    answer = client.post(PREDICT, json=TEXT)

    assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
    assert "parcel" not in answer.text + "".join(capfd.readouterr())


def _send(client: httpx.Client, sent: bytes) -> socket.socket:
    url = urlparse(str(client.base_url))
    connection = socket.create_connection((url.hostname, url.port), timeout=30)
    connection.sendall(sent)
    return connection


def _request_head(headers: Mapping[str, object]) -> bytes:
    lines = [f"POST {PREDICT} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def test_a_body_that_does_not_arrive_times_out(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"seconds": 0.3})

    with _send(client, _request_head({"Content-Length": 100}) + b'{"text": "a') as slow:
        answer = slow.recv(4096)

    assert answer.startswith(b"HTTP/1.1 504")


def test_a_caller_that_disconnects_leaves_no_trace(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    _send(client, _request_head({"Content-Length": 100}) + b'{"text": "Rosalind').close()
    eventually(lambda: 'route="/v1/heads/topic/predict",status="499"' in client.get("/metrics").text)

    assert client.post(PREDICT, json=TEXT).status_code == 200
    assert "".join(capfd.readouterr()) == ""


def test_a_body_of_unknown_length_is_read_only_up_to_the_limit(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    with _send(client, _request_head({"Transfer-Encoding": "chunked"})) as endless:
        try:
            for _ in range(1000):
                endless.sendall(chunk)
        except OSError:
            pass  # the service closed the connection
        answer = endless.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413") or answer == b""
    assert client.post(PREDICT, json=TEXT).status_code == 200


def test_an_encoder_never_queues_more_than_its_limit(minilm: Encoder) -> None:
    from rawless.events.stream import Stream
    from rawless.privacy import Raw
    from rawless.serving.errors import RequestError
    from tests.serving.conftest import TEXT_STREAM

    encoders, stream = LocalEncoderBackend("cpu", 2), Stream.model_validate(TEXT_STREAM)
    encoders.add(minilm.spec)

    async def flood() -> list[object]:
        calls = [encoders.encode(stream, minilm.spec.fingerprint, Raw(b"hello"), "document") for _ in range(20)]
        return await asyncio.gather(*calls, return_exceptions=True)

    errors = [outcome for outcome in asyncio.run(flood()) if isinstance(outcome, RequestError)]
    assert 0 < len(errors) <= 18
    assert {error.code.value for error in errors} == {"queue_full"}


def _send_endlessly(client: httpx.Client, sent: bytes, more: bytes) -> bytes:
    """Return the response to data that is followed by more and more."""
    with _send(client, sent) as endless:
        endless.settimeout(10)
        try:
            for _ in range(64):
                endless.sendall(more)
        except ConnectionError:
            pass  # the service closed the connection
        try:
            return endless.recv(4096)
        except ConnectionError:
            return b""


@pytest.mark.parametrize("before", [b"GET /", b"GET /health HTTP/1.1\r\nX: "])
def test_endless_headers_are_rejected(bench: Bench, monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    """The parser would keep all of them in memory, in quadratic time."""
    monkeypatch.setattr("rawless.serving.connection.TIMEOUT_SECONDS", 60)
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    answer = _send_endlessly(client, before, b"a" * (1 << 20))

    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert client.get("/health").status_code == 200


def test_too_many_headers_are_rejected(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    answer = _send_endlessly(client, _request_head({f"X-{number}": 1 for number in range(MAX_HEADERS)}), b"")

    assert answer.startswith(b"HTTP/1.1 400")


def test_a_transfer_encoding_that_a_proxy_may_read_in_another_way_is_rejected(bench: Bench) -> None:
    """A proxy that does not take it for chunked would take the end of the body for another request."""
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    body = b'e\r\n{"text": "hi"}\r\n0\r\n\r\n'
    twice = "chunked\r\nTransfer-Encoding: chunked"

    for value in ("xchunked", "chunked, chunked", "gzip, chunked", "identity", "", twice):
        with _send(client, _request_head({"Transfer-Encoding": value}) + body) as connection:
            answer = b"".join(iter(lambda: connection.recv(4096), b""))

        head, _, problem = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400"), value
        assert Problem.model_validate_json(problem).reason == "bad_request", value


def test_trailers_are_ignored(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    body = b'e\r\n{"text": "hi"}\r\n0\r\nRawless-Event-Id: no id\r\nContent-Type: text/html\r\n\r\n'

    with _send(client, _request_head({"Transfer-Encoding": "chunked"}) + body) as trailing:
        answer = trailing.recv(4096)

    assert answer.startswith(b"HTTP/1.1 200")


def test_metadata_that_is_sent_twice_is_rejected(bench: Bench) -> None:
    """A proxy may have read the other value."""
    bench.deploy("topic")
    twice = b"Content-Length: 13\r\nRawless-Event-Id: msg-0001\r\nRawless-Event-Id: msg-0002\r\n\r\n"

    with _send(bench.start({"topic": {}}), _request_head({})[:-2] + twice + b'{"text": "a"}') as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 422")


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: l"])
def test_headers_that_do_not_arrive_time_out(bench: Bench, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr("rawless.serving.connection.TIMEOUT_SECONDS", 0.2)
    bench.deploy("topic")

    with _send(bench.start({"topic": {}}), sent) as idle:
        idle.settimeout(5)
        assert idle.recv(4096) == b""


def test_the_rest_of_a_rejected_body_times_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawless.serving.connection.TIMEOUT_SECONDS", 0.5)
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"seconds": 0.2})

    with _send(client, _request_head({"Content-Length": 100})) as slow:
        slow.settimeout(5)
        answer = slow.recv(4096)
        while rest := slow.recv(4096):
            answer += rest

    assert answer.startswith(b"HTTP/1.1 504")


def test_a_request_to_upgrade_the_protocol_is_answered_over_http(bench: Bench) -> None:
    bench.deploy("topic")
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    with _send(bench.start({"topic": {}}), request) as connection:
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()
