"""Web pages of other origins get answers only if the service's file lists their origin."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from rawless.errors import UserError
from rawless.serving.config import ServeConfig, load_config
from tests.serving.conftest import TEXT_STREAM, Bench

PREDICT = "/v1/heads/topic/predict"
SHOP, OTHER = "https://shop.example", "https://other.example"
TOKEN = "a-token"
ACCESS = {
    "tokens": [{"name": "web", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "scopes": ["predict", "metrics"]}]
}
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
SHARED = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-headers")


@pytest.fixture
def client(tiny_bench: Bench) -> httpx.Client:
    tiny_bench.deploy("topic")
    return tiny_bench.start({"topic": {}}, access=ACCESS, cors={"origins": [SHOP, "http://localhost:3000"]})


def _shared(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in SHARED if name in answer.headers}


def test_a_page_of_a_listed_origin_may_send_and_read(client: httpx.Client) -> None:
    preflight = client.options(PREDICT, headers={"origin": SHOP, **PREFLIGHT})
    answer = client.post(PREDICT, json={"text": "a"}, headers={"origin": SHOP, **AUTHORIZED})
    refused = client.post(PREDICT, json={"text": ""}, headers={"origin": SHOP, **AUTHORIZED})

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == SHOP
    assert preflight.headers["access-control-allow-methods"] == "GET, POST"
    assert {"authorization", "content-type"} <= set(preflight.headers["access-control-allow-headers"].split(", "))
    assert "access-control-allow-credentials" not in preflight.headers
    assert (answer.status_code, refused.status_code) == (200, 422)
    for each in (preflight, answer, refused):
        assert _shared(each)["access-control-allow-origin"] == SHOP
        assert "Origin" in each.headers["vary"].split(", ")


@pytest.mark.parametrize("origin", [OTHER, "null", "https://shop.example.evil.example", "http://shop.example", "", "*"])
def test_a_page_of_another_origin_is_refused_with_the_way_to_allow_it(client: httpx.Client, origin: str) -> None:
    preflight = client.options(PREDICT, headers={"origin": origin, **PREFLIGHT})
    answer = client.post(PREDICT, json={"text": "a"}, headers={"origin": origin, **AUTHORIZED})

    for each in (preflight, answer):
        assert (each.status_code, each.json()["reason"]) == (403, "cross_origin")
        assert "cors.origins" in each.json()["detail"]
        assert _shared(each) == {}
        assert "Origin" in each.headers["vary"]


def test_an_origin_replaces_no_token(client: httpx.Client) -> None:
    assert client.post(PREDICT, json={"text": "a"}, headers={"origin": SHOP}).status_code == 401
    twice = [("origin", SHOP), ("origin", OTHER), *AUTHORIZED.items()]
    assert client.get("/v1/heads", headers=twice).status_code == 403


def test_programs_are_answered_without_an_origin_and_pages_of_the_service_with_its_own(client: httpx.Client) -> None:
    own = f"http://{client.base_url.host}:{client.base_url.port}"
    answers = [client.get("/v1/heads", headers=AUTHORIZED | origin) for origin in ({}, {"origin": own})]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [_shared(answer) for answer in answers] == [{}, {}]
    assert "Origin" in answers[0].headers["vary"]  # so that no cache gives this answer to a page


def test_without_cors_no_page_of_another_origin_is_answered(tiny_bench: Bench) -> None:
    tiny_bench.deploy("topic")
    client = tiny_bench.start({"topic": {}})
    rebound = {"host": "evil.example", "origin": "http://evil.example"}

    preflight = client.options(PREDICT, headers={"origin": SHOP, **PREFLIGHT})
    answer = client.get("/v1/heads", headers=rebound)

    assert (preflight.status_code, preflight.json()["reason"]) == (403, "cross_origin")
    assert (answer.status_code, answer.json()["reason"]) == (421, "misdirected")
    assert client.options(PREDICT).status_code == 405
    assert "vary" not in client.get("/v1/heads").headers


@pytest.mark.parametrize(
    ("origins", "message"),
    [
        (["*"], "an origin is exactly what a browser sends"),
        (["https://*.shop.example"], "an origin is exactly"),
        (["https://Shop.example"], "lower case"),
        (["https://shop.example/"], "without a path"),
        (["https://user@shop.example"], "an origin is exactly"),
        (["null"], "an origin is exactly"),
        (["http://shop.example"], "use https, or a loopback host"),
        (["https://shop.example:443"], "leave it out"),
        ([], "at least 1"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_at_the_start(
    tmp_path: Path, origins: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        _load(tmp_path, access=ACCESS, cors={"origins": origins})


def test_without_tokens_only_origins_of_this_machine_can_be_listed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cors\.origins has https://shop\.example, whose pages could call"):
        _load(tmp_path, cors={"origins": [SHOP]})
    local = ["http://localhost:3000", "http://127.0.0.1:8081", "http://[::1]:5173"]
    loaded = _load(tmp_path, cors={"origins": local})
    assert loaded.cors is not None
    assert list(loaded.cors.origins) == local


def _load(folder: Path, **fields: Any) -> ServeConfig:
    (folder / "message.yaml").write_text(yaml.safe_dump(TEXT_STREAM))
    (folder / "serve.yaml").write_text(yaml.safe_dump({"heads": {"topic": {"stream": "message.yaml"}}} | fields))
    return load_config(folder / "serve.yaml")[0]
