"""An orchestrator whose encoder or classifier service returns something unexpected."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from encoders.encoder import Encoder
from rawless.serving.remote import TOKEN_VARIABLE
from tests.serving.conftest import Bench, vector_of

PREDICT = "/v1/heads/topic/predict"
Reply = tuple[int, Mapping[str, str], bytes]
"""A status, headers and a body."""


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "token")


@contextmanager
def _fake_service(answer: Callable[[str], Reply], seconds: float = 0.0) -> Iterator[str]:
    """Serve `answer(path)`, with a pause before each byte, and yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for byte in body if seconds else ():
                    self.wfile.write(bytes([byte]))
                    time.sleep(seconds)
                self.wfile.write(b"" if seconds else body)
            except OSError:
                pass  # the client has disconnected

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _outcome(bench: Bench, encoder: Callable[[str], Reply], classifier: Callable[[str], Reply]) -> tuple[int, str]:
    """Return the status and reason that a caller gets."""
    with _fake_service(encoder) as first, _fake_service(classifier) as second:
        client = bench.start({"topic": {}}, "orchestrator", encoder={"url": first}, classifier={"url": second})
        answer = client.post(PREDICT, json={"text": "hello"})
        return answer.status_code, answer.json().get("reason", "")


@pytest.fixture
def encoder_reply(minilm: Encoder) -> Callable[[str], Reply]:
    """A correct reply of the encoder service."""
    fingerprint = {"rawless-encoder-fingerprint": minilm.spec.fingerprint}
    return lambda _: (200, fingerprint, vector_of(minilm, b"hello").tobytes())


def _answer(minilm: Encoder, **changes: Any) -> bytes:
    model = {"head": "topic", "version": 1, "encoder": "minilm", "encoder_version": "1.0.0"}
    answer = {"model": model | {"encoder_fingerprint": minilm.spec.fingerprint}, "probabilities": {"a": 0.5, "b": 0.5}}
    answer["model"] |= changes.pop("model", {})
    return json.dumps(answer | changes).encode()


def test_unexpected_replies_of_the_encoder_are_not_blamed_on_the_caller(bench: Bench, minilm: Encoder) -> None:
    fingerprint = {"rawless-encoder-fingerprint": minilm.spec.fingerprint}
    refusal = {"title": "a", "status": 404, "detail": "a", "reason": "internal"}
    for reply, reason in (
        ((200, {}, bytes(4 * 384)), "head_mismatch"),
        ((200, {"rawless-encoder-fingerprint": "f" * 64}, bytes(4 * 384)), "head_mismatch"),
        ((200, fingerprint, b"abc"), "unavailable"),
        ((200, fingerprint, b"\xff" * 4 * 384), "unavailable"),  # not finite
        ((200, fingerprint, bytes(4 * 383)), "unavailable"),
        ((200, fingerprint, b""), "unavailable"),
        ((302, {"location": "http://127.0.0.1:9/"}, b""), "unavailable"),
        ((404, {}, json.dumps(refusal).encode()), "unavailable"),
        ((500, {}, b"<html>"), "unavailable"),
    ):
        assert _outcome(bench, lambda _, reply=reply: reply, lambda _: (200, {}, b"")) == (503, reason)  # type: ignore[misc]


def test_only_answers_of_the_requested_head_are_returned(
    bench: Bench, encoder_reply: Callable[[str], Reply], minilm: Encoder
) -> None:
    for body, reason in (
        (_answer(minilm), ""),
        (_answer(minilm, model={"head": "other"}), "head_mismatch"),
        (_answer(minilm, model={"encoder_fingerprint": "f" * 64}), "head_mismatch"),
        (_answer(minilm, model={"encoder_fingerprint": "f" * 64, "encoder_space": "e" * 64}), "head_mismatch"),
        (_answer(minilm, probabilities={}), "unavailable"),
        (_answer(minilm, probabilities=None), "unavailable"),
        (_answer(minilm, probabilities={"a": float("nan")}), "unavailable"),
        (b"<html>", "unavailable"),
    ):
        outcome = _outcome(bench, encoder_reply, lambda _, body=body: (200, {}, body))  # type: ignore[misc]
        assert outcome == (503 if reason else 200, reason)


def test_a_shadow_that_hangs_does_not_delay_the_shutdown(
    bench: Bench, encoder_reply: Callable[[str], Reply], minilm: Encoder
) -> None:
    def slowly(path: str) -> Reply:
        head = path.split("/")[3]
        return 200, {}, _answer(minilm, model={"head": head}) + b" " * (10_000 if head == "slow" else 0)

    started = time.monotonic()
    with _fake_service(encoder_reply) as encoder, _fake_service(slowly, 0.002) as classifier, bench.running:
        client = bench.start(
            {"topic": {"arms": {"quick": 1}, "shadow": ["slow"]}}, "orchestrator", limits={"seconds": 1.5},
            encoder={"url": encoder}, classifier={"url": classifier},
        )  # fmt: skip
        answer = client.post(PREDICT, json={"text": "hello"})

    assert answer.status_code == 200
    assert time.monotonic() - started < 10
