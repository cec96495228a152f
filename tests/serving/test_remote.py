"""Authentication of the orchestrator at the services that it calls."""

import asyncio

import httpx
import pytest

from rawless.serving import remote
from rawless.serving.config import RemoteConfig
from rawless.serving.remote import TOKEN_VARIABLE, RemoteClassifierBackend


def _readiness_headers(service: RemoteConfig) -> httpx.Headers:
    """Return the headers of the request that checks whether a service is ready."""
    sent: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        return httpx.Response(200)

    async def check() -> None:
        heads = RemoteClassifierBackend(service, 1.0, str)
        await heads.close()
        heads._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        await heads.check_ready()
        await heads.close()

    asyncio.run(check())
    return sent[0]


def test_cloud_run_gets_the_token_in_a_header_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It removes the signature of the token that it checks, so the service could not verify that one."""
    monkeypatch.setattr(remote, "_fetch_google_token", lambda audience: f"token for {audience}")

    headers = _readiness_headers(RemoteConfig(url="https://encoder.example", identity="google"))

    assert headers["authorization"] == "Bearer token for https://encoder.example"
    assert headers["x-serverless-authorization"] == headers["authorization"]


def test_a_configured_token_is_sent_only_to_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")

    headers = _readiness_headers(RemoteConfig(url="https://encoder.example"))

    assert headers["authorization"] == "Bearer secret"
    assert "x-serverless-authorization" not in headers
