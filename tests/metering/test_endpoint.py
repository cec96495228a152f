"""The endpoint of a process tells Prometheus its metrics and an orchestrator its health, and a browser nothing."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from rawless.errors import UserError
from rawless.metering import table
from rawless.metering.endpoint import serve_metrics

HEALTH = {"healthy": True}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_metrics(0, is_healthy=lambda: HEALTH["healthy"]) as url:
        yield url


def test_metrics_are_in_the_format_of_prometheus_with_those_of_the_process(url: str) -> None:
    table.BATCH_ITEMS.observe(3, "endpoint@1.0.0")
    answer = httpx.get(f"{url}/metrics", trust_env=False)

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'rawless_batch_items_bucket{encoder="endpoint@1.0.0",le="4.0"} 1.0\n' in answer.text
    assert "\nprocess_start_time_seconds " in answer.text
    assert "_created" not in answer.text


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_is_what_the_process_says(path: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert httpx.get(url + path, trust_env=False).status_code == 200
    monkeypatch.setitem(HEALTH, "healthy", False)
    assert httpx.get(url + path, trust_env=False).status_code == 503


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 404),
        ("/metrics?name[]=x", {}, 404),
        ("/metrics", {"Origin": "https://example.com"}, 403),
        ("/metrics", {"Host": "example.com"}, 403),
        ("/metrics", {"Host": "[::1"}, 403),
        ("/metrics", {"Host": "localhost:9"}, 200),
    ],
)
def test_other_paths_and_pages_in_a_browser_are_refused(
    url: str, path: str, headers: dict[str, str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert httpx.get(url + path, headers=headers, trust_env=False).status_code == status
    assert capfd.readouterr() == ("", "")


def test_a_caller_that_sends_nonsense_is_not_quoted_and_harms_nobody(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"Rosalind owes Quibble\r\n\r\n")
        answer = caller.makefile("rb").read()

    assert b"Rosalind" not in answer
    assert capfd.readouterr() == ("", "")
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 200


def test_a_port_that_is_taken_is_a_mistake_of_the_user(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    refusal = pytest.raises(UserError, match=rf"127\.0\.0\.1:{port} cannot be bound for metrics \(Address already")
    with refusal, serve_metrics(port):
        pass


def test_on_every_address_a_host_may_have_any_name() -> None:
    with serve_metrics(0, "0.0.0.0") as url:
        port = url.rsplit(":", 1)[1]
        answer = httpx.get(f"http://127.0.0.1:{port}/healthz", headers={"Host": "pod.example"}, trust_env=False)
    assert answer.status_code == 200
