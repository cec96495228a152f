"""How an orchestrator says who it is to the services that it calls."""

import asyncio

import httpx
import pytest

from rawless.serving import remote
from rawless.serving.config import RemoteConfig
from rawless.serving.remote import TOKEN_VARIABLE, RemoteClassifierBackend


def _asked(service: RemoteConfig) -> httpx.Headers:
    """The headers of the request by which it looks whether a service is ready."""
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200)

    async def ask() -> None:
        heads = RemoteClassifierBackend(service, 1.0)
        await heads.close()
        heads._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        await heads.check_ready()
        await heads.close()

    asyncio.run(ask())
    return seen[0]


def test_cloud_run_gets_a_token_of_its_own_besides_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the signature off the one that it looks at, which the service could not check then."""
    monkeypatch.setattr(remote, "_fetch_google_token", lambda audience: f"token for {audience}")

    headers = _asked(RemoteConfig(url="https://encoder.example", identity="google"))

    assert headers["authorization"] == "Bearer token for https://encoder.example"
    assert headers["x-serverless-authorization"] == headers["authorization"]


def test_a_token_of_our_own_goes_to_the_service_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")

    headers = _asked(RemoteConfig(url="https://encoder.example"))

    assert headers["authorization"] == "Bearer secret"
    assert "x-serverless-authorization" not in headers
