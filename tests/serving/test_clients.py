"""Requests as common clients send them: Java, Go, .NET, curl, requests and browsers."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

import httpx
import pytest
import requests

from encoders.spec import EncoderSpec
from tests.serving.conftest import Bench

PREDICT = "/v1/heads/topic/predict"
BODY = b'{"text": "where is my parcel"}'
JSON = {"Content-Type": "application/json"}
UPGRADE = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}


@pytest.fixture(scope="module")
def client(tiny_sealed: EncoderSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with the tiny encoder and a head for texts."""
    with ExitStack() as running:
        bench = Bench(tmp_path_factory.mktemp("service"), running, spec=tiny_sealed)
        bench.deploy("topic")
        yield bench.start({"topic": {}})


def _request(headers: dict[str, str], body: bytes = b"", method: str = "POST", path: str = PREDICT) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _sized(body: bytes) -> dict[str, str]:
    return JSON | {"Content-Length": str(len(body))}


class _Connection:
    """A connection on which bytes are sent as they are."""

    def __init__(self, client: httpx.Client) -> None:
        self._socket = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._socket.sendall(part)

    def response(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """Read the next response."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return status, headers, self._file.read(int(headers.get("content-length", 0)) if has_body else 0)

    def ends(self) -> bool:
        """Return whether the server sends nothing more and closes the connection."""
        try:
            return self._file.read() == b""
        except ConnectionError:
            return True


CHUNKED = b"10\r\n" + BODY[:16] + b"\r\n%x\r\n" % len(BODY[16:]) + BODY[16:] + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [_request(UPGRADE | _sized(BODY), BODY)],
        [_request(UPGRADE | _sized(BODY)), BODY[:9], BODY[9:]],
        [_request(UPGRADE | _sized(BODY))[:30], _request(UPGRADE | _sized(BODY))[30:], BODY],
        [_request(UPGRADE | JSON | {"Transfer-Encoding": "chunked"}, CHUNKED)],
        [_request({"Upgrade": "websocket", "Connection": "close, upgrade"} | _sized(BODY), BODY)],
        [_request(UPGRADE | _sized(BODY), BODY).replace(b"HTTP/1.1", b"HTTP/1.0")],
    ],
)
def test_the_body_of_a_request_that_asks_for_http_2_is_read(client: httpx.Client, parts: list[bytes]) -> None:
    """As `java.net.http.HttpClient` and `curl --http2` send their first request."""
    with _Connection(client) as connection:
        connection.send(*parts)
        status, headers, body = connection.response()

        assert (status, json.loads(body)["head"]) == (200, "topic")
        assert headers["connection"] == "close"
        assert connection.ends()


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
    ],
)
def test_an_upgrade_does_not_hide_a_body_whose_end_is_ambiguous(client: httpx.Client, framing: str) -> None:
    head = _request(UPGRADE | JSON)[:-2] + framing.encode() + b"\r\n\r\n"

    with _Connection(client) as connection:
        connection.send(head + b"0\r\n\r\n" + _request({}, path="/healthz", method="GET"))

        assert connection.response()[0] == 400
        assert connection.ends()


@pytest.mark.parametrize("early", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", _request(_sized(BODY), BODY)])
def test_what_follows_a_request_to_upgrade_is_never_a_request(client: httpx.Client, early: bytes) -> None:
    """A proxy may have taken it for data of the other protocol."""
    with _Connection(client) as connection:
        connection.send(_request(UPGRADE, method="GET", path="/healthz") + early)

        assert connection.response()[0] == 200
        assert connection.ends()


def test_the_service_is_no_proxy(client: httpx.Client) -> None:
    with _Connection(client) as connection:
        connection.send(_request({}, method="CONNECT", path="localhost:80") + _request(_sized(BODY), BODY))

        assert connection.response()[0] == 400
        assert connection.ends()


@pytest.mark.parametrize("path", ["/health", "/ready", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/heads"])
def test_head_is_answered_as_get_without_a_body(client: httpx.Client, path: str) -> None:
    with _Connection(client) as connection:
        connection.send(_request({}, method="HEAD", path=path))
        status, headers, _ = connection.response(has_body=False)
        connection.send(_request({}, method="GET", path="/healthz"))

        assert status == 200
        assert int(headers["content-length"]) > 0
        assert connection.response()[2] == b'{"status":"ok"}'


def test_head_is_refused_where_get_is(client: httpx.Client) -> None:
    assert client.head(PREDICT).status_code == 405
    assert client.head("/other").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json;charset=utf8"},
        {"content-type": "Application/JSON; Charset=UTF8"},
        {"CONTENT-TYPE": 'application/json; charset="UTF-8";'},
        {"Content-Type": "application/json; odata.metadata=minimal"},
        JSON | {"Content-Encoding": "identity"},
        JSON | {"Transfer-Encoding": "Chunked"},
    ],
)
def test_every_spelling_of_json_in_utf_8_is_taken(client: httpx.Client, headers: dict[str, str]) -> None:
    is_chunked = "Transfer-Encoding" in headers
    with _Connection(client) as connection:
        connection.send(
            _request(headers, CHUNKED) if is_chunked else _request(headers | {"Content-Length": str(len(BODY))}, BODY)
        )

        assert connection.response()[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},  # of `curl -d`
        {},
        {"Content-Type": "application/json; odata=verbose; charset=latin1"},
        JSON | {"Content-Encoding": "identity, gzip"},
        {"Content-Type": "multipart/mixed; boundary=x"},
    ],
)
def test_a_body_of_another_type_is_refused_with_the_types_to_send(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    answer = client.post(PREDICT, content=BODY, headers=headers)

    assert (answer.status_code, answer.json()["reason"]) == (415, "unsupported_media_type")
    assert "Content-Type" in answer.json()["detail"]


def test_a_byte_order_mark_before_json_is_ignored(client: httpx.Client) -> None:
    plain, marked = (client.post(PREDICT, content=body, headers=JSON) for body in (BODY, b"\xef\xbb\xbf" + BODY))

    assert marked.json()["probabilities"] == plain.json()["probabilities"]


def test_a_connection_is_used_again_after_an_error_whose_body_was_not_read(client: httpx.Client) -> None:
    text = {"Content-Type": "text/plain", "Content-Length": "100000"}
    with _Connection(client) as connection:
        connection.send(_request(text, b"GET / HTTP/1.1\r\n\r\n".ljust(100_000)) + _request(_sized(BODY), BODY))

        assert [connection.response()[0] for _ in range(2)] == [415, 200]


def test_a_caller_that_waits_to_send_its_body_is_told_to(client: httpx.Client) -> None:
    with _Connection(client) as connection:
        connection.send(_request(_sized(BODY) | {"Expect": "100-continue"}))
        informed = connection.response()[0]
        connection.send(BODY)
        status, headers, _ = connection.response()

        assert (informed, status) == (100, 200)
        assert "connection" not in headers


@pytest.mark.parametrize("path", [PREDICT, "/v1/heads/other/predict"])
def test_a_request_instead_of_a_refused_body_is_not_read_as_that_body(client: httpx.Client, path: str) -> None:
    """A caller that waits to send its body may go on with the next request when it gets an error."""
    text = {"Content-Type": "text/plain", "Content-Length": "10000", "Expect": "100-continue"}
    with _Connection(client) as connection:
        connection.send(_request(text, path=path))
        status, headers, _ = connection.response()

        assert status in (404, 415)
        assert headers["connection"] == "close"
        assert connection.ends()


def test_requests_of_a_session_are_answered(client: httpx.Client) -> None:
    url = str(client.base_url).rstrip("/") + PREDICT
    with requests.Session() as session:
        statuses = [session.post(url, data=BODY, headers=headers).status_code for headers in ({}, JSON)]
        statuses.append(session.post(url, data=iter([BODY[:5], BODY[5:]]), headers=JSON).status_code)

    assert statuses == [415, 200, 200]


def test_the_address_of_a_request_may_be_absolute(client: httpx.Client) -> None:
    with _Connection(client) as connection:
        connection.send(_request(_sized(BODY), BODY, path=f"http://localhost{PREDICT}"))

        assert connection.response()[0] == 200
