"""An orchestrator whose encoder or classifier is something else than it should be."""

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
Told = tuple[int, Mapping[str, str], bytes]
"""A status, headers and a body."""


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "token")


@contextmanager
def _stranger(answer: Callable[[str], Told], seconds: float = 0.0) -> Iterator[str]:
    """A service that answers a path as it likes, each byte after so many seconds."""

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
                pass  # whoever asked has gone

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _told_by(bench: Bench, encoder: Callable[[str], Told], classifier: Callable[[str], Told]) -> tuple[int, str]:
    """The status and reason that a caller sees."""
    with _stranger(encoder) as first, _stranger(classifier) as second:
        client = bench.start({"topic": {}}, "orchestrator", encoder={"url": first}, classifier={"url": second})
        answer = client.post(PREDICT, json={"text": "hello"})
        return answer.status_code, answer.json().get("reason", "")


@pytest.fixture
def good(minilm: Encoder) -> Callable[[str], Told]:
    """An encoder's answer."""
    fingerprint = {"rawless-encoder-fingerprint": minilm.spec.fingerprint}
    return lambda _: (200, fingerprint, vector_of(minilm, b"hello").tobytes())


def _answer(minilm: Encoder, **other: Any) -> bytes:
    model = {"head": "topic", "version": 1, "encoder": "minilm", "encoder_version": "1.0.0"}
    whole = {"model": model | {"encoder_fingerprint": minilm.spec.fingerprint}, "probabilities": {"a": 0.5, "b": 0.5}}
    whole["model"] |= other.pop("model", {})
    return json.dumps(whole | other).encode()


def test_what_a_strange_encoder_answers_is_no_fault_of_the_caller(bench: Bench, minilm: Encoder) -> None:
    mine = {"rawless-encoder-fingerprint": minilm.spec.fingerprint}
    refusal = {"title": "a", "status": 404, "detail": "a", "reason": "internal"}
    for told, reason in (
        ((200, {}, bytes(4 * 384)), "head_mismatch"),
        ((200, {"rawless-encoder-fingerprint": "f" * 64}, bytes(4 * 384)), "head_mismatch"),
        ((200, mine, b"abc"), "unavailable"),
        ((200, mine, b"\xff" * 4 * 384), "unavailable"),  # not finite
        ((200, mine, bytes(4 * 383)), "unavailable"),
        ((200, mine, b""), "unavailable"),
        ((302, {"location": "http://127.0.0.1:9/"}, b""), "unavailable"),
        ((404, {}, json.dumps(refusal).encode()), "unavailable"),
        ((500, {}, b"<html>"), "unavailable"),
    ):
        assert _told_by(bench, lambda _, told=told: told, lambda _: (200, {}, b"")) == (503, reason)  # type: ignore[misc]


def test_only_an_answer_of_the_head_that_was_asked_is_passed_on(
    bench: Bench, good: Callable[[str], Told], minilm: Encoder
) -> None:
    for body, reason in (
        (_answer(minilm), ""),
        (_answer(minilm, model={"head": "other"}), "head_mismatch"),
        (_answer(minilm, model={"encoder_fingerprint": "f" * 64}), "head_mismatch"),
        (_answer(minilm, probabilities={}), "unavailable"),
        (_answer(minilm, probabilities=None), "unavailable"),
        (_answer(minilm, probabilities={"a": float("nan")}), "unavailable"),
        (b"<html>", "unavailable"),
    ):
        told = _told_by(bench, good, lambda _, body=body: (200, {}, body))  # type: ignore[misc]
        assert told == (503 if reason else 200, reason)


def test_a_shadow_that_never_ends_holds_no_service_back(
    bench: Bench, good: Callable[[str], Told], minilm: Encoder
) -> None:
    def drop(path: str) -> Told:
        head = path.split("/")[3]
        return 200, {}, _answer(minilm, model={"head": head}) + b" " * (10_000 if head == "slow" else 0)

    started = time.monotonic()
    with _stranger(good) as encoder, _stranger(drop, 0.002) as classifier, bench.running:
        client = bench.start(
            {"topic": {"arms": {"quick": 1}, "shadow": ["slow"]}}, "orchestrator", limits={"seconds": 1.5},
            encoder={"url": encoder}, classifier={"url": classifier},
        )  # fmt: skip
        answer = client.post(PREDICT, json={"text": "hello"})

    assert answer.status_code == 200
    assert time.monotonic() - started < 10
