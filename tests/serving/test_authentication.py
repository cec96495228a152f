"""Authentication and authorization of callers."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt
from starlette.datastructures import Headers

from rawless.errors import Unavailable, UserError
from rawless.serving.authentication import Authenticator
from rawless.serving.config import AccessConfig
from rawless.serving.errors import RequestError
from tests.serving.conftest import Bench

WEB, PROMETHEUS = "web-token-of-256-bits", "prometheus-token-of-256-bits"
TOKENS = [
    {"name": "web", "sha256": hashlib.sha256(WEB.encode()).hexdigest(), "scopes": ["predict", "score"]},
    {"name": "prometheus", "sha256": hashlib.sha256(PROMETHEUS.encode()).hexdigest(), "scopes": ["metrics"]},
]
PREDICT = "/v1/heads/topic/predict"


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_token_permits_its_scopes(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, access={"tokens": TOKENS})

    def status(method: str, path: str, headers: Mapping[str, str]) -> int:
        return client.request(method, path, json={"text": "hello"}, headers=headers).status_code

    assert status("POST", PREDICT, _bearer(WEB)) == 200
    assert status("POST", PREDICT, _bearer(PROMETHEUS)) == 403
    assert status("GET", "/metrics", _bearer(PROMETHEUS)) == 200
    assert status("GET", "/metrics", _bearer(WEB)) == 403
    for path in ("/v1/heads", "/openapi.json"):
        assert status("GET", path, _bearer(WEB)) == status("GET", path, _bearer(PROMETHEUS)) == 200
    for headers in ({}, _bearer(WEB + "x"), {"authorization": f"Basic {WEB}"}, _bearer("x" * 5000)):
        assert status("POST", PREDICT, headers) == status("GET", "/v1/heads", headers) == 401
        assert status("GET", "/openapi.json", headers) == status("GET", "/metrics", headers) == 401
    assert {status("GET", path, {}) for path in ("/health", "/ready", "/healthz", "/readyz")} == {200}
    assert status("GET", "/v1/heads", {**_bearer(WEB), "host": "orchestrator.example"}) == 200


def test_an_unknown_caller_is_rejected_before_the_body_is_read(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, access={"tokens": TOKENS})

    response = client.post(PREDICT, content=b"x" * 10_000_000, headers={"content-type": "text/plain"})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


def test_without_tokens_only_loopback_host_names_are_answered(bench: Bench) -> None:
    """Otherwise a web page in a local browser could call it by DNS rebinding."""
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    statuses = {
        host: client.get("/v1/heads", headers={"host": host}).status_code
        for host in ("localhost", "localhost:80", "127.0.0.1:1", "[::1]:80", "evil.example", "localhost.evil.example")
    }

    assert list(statuses.values()) == [200, 200, 200, 200, 421, 421]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8080"])
def test_without_tokens_web_pages_get_no_answer(bench: Bench, origin: str) -> None:
    """A page in a local browser would otherwise use up the service, or forge what it logs."""
    bench.deploy("topic")
    client, headers = bench.start({"topic": {}}), {"origin": origin, "content-type": "application/json"}

    assert client.post(PREDICT, content='{"text": "hello"}', headers=headers).json()["reason"] == "cross_origin"
    assert client.get("/v1/heads", headers=headers).status_code == 403
    assert client.get("/v1/heads").status_code == 200


@pytest.mark.parametrize(
    ("role", "host", "message"),
    [
        ("encoder", "127.0.0.1", "The role encoder is called by other services, so it needs tokens"),
        ("classifier", "localhost", "The role classifier"),
        ("all", "0.0.0.0", "At 0.0.0.0 other machines can reach the service"),
        ("orchestrator", "10.0.0.7", "At 10.0.0.7 other machines"),
    ],
)
def test_a_service_that_others_can_reach_does_not_start_without_tokens(
    bench: Bench, role: Any, host: str, message: str
) -> None:
    from rawless.serving.app import AppFactory
    from rawless.serving.config import load_config

    config, served = load_config(bench.file({"topic": {}}))

    with pytest.raises(UserError, match=message):
        AppFactory(config, served, bench.dependencies()).create_app(role, host)


def test_a_service_that_lacks_the_decoder_of_a_format_does_not_start(
    tiny_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rawless.serving.app import AppFactory
    from rawless.serving.config import load_config

    tiny_bench.deploy("topic", 1)
    config, served = load_config(tiny_bench.file({"topic": {}}))
    limits = served["topic"].stream.limits.model_copy(update={"formats": ("heic",)})
    stream = served["topic"].stream.model_copy(update={"limits": limits})
    head = served["topic"].model_copy(update={"stream": stream})
    monkeypatch.setattr("encoders.image_formats.heic.LIBRARY", "a_library_that_is_missing")

    with pytest.raises(UserError, match=r"limits\.formats: heic needs pillow-heif"):
        AppFactory(config, {"topic": head}, tiny_bench.dependencies()).create_app("all", "127.0.0.1")


def test_only_digests_of_tokens_are_configured(bench: Bench) -> None:
    from rawless.serving.config import load_config

    with pytest.raises(UserError, match="sha256"):
        load_config(bench.file({"topic": {}}, access={"tokens": [TOKENS[0] | {"sha256": WEB}]}))


ACCOUNT, AUDIENCE = "orchestrator@project.iam.gserviceaccount.com", "https://encoder.example"


@pytest.fixture(scope="module")
def signer() -> tuple[crypt.RSASigner, dict[str, str]]:
    """A key in place of Google's, and its certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return crypt.RSASigner.from_string(pem, key_id="k1"), {"k1": certificate}


def _claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "email": ACCOUNT,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    }
    return claims | changes


async def _outcome(authenticator: Authenticator, token: str, scope: Any = "encode") -> str | None:
    try:
        return await authenticator.check(Headers(_bearer(token)), scope)
    except RequestError as error:
        return error.code.value


def test_a_google_id_token_proves_an_account(signer: tuple[crypt.RSASigner, dict[str, str]]) -> None:
    fetched: list[int] = []

    def certificates() -> dict[str, str]:
        fetched.append(1)
        return signer[1]

    google = {"audience": AUDIENCE, "accounts": {ACCOUNT: ["encode"]}}
    authenticator = Authenticator(AccessConfig.model_validate({"google": google}), certificates)

    def outcome(scope: str = "encode", key: crypt.RSASigner = signer[0], **claims: Any) -> str | None:
        token = jwt.encode(key, _claims(**claims)).decode()
        return asyncio.run(_outcome(authenticator, token, scope))

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert outcome() == ACCOUNT
    assert outcome(scope="classify") == "forbidden"
    assert outcome(email="stranger@example.com") == "unauthorized"
    assert outcome(aud="https://other.example") == "unauthorized"
    assert outcome(iss="https://evil.example") == "unauthorized"
    assert outcome(email_verified=False) == "unauthorized"
    assert outcome(exp=int(time.time()) - 60, iat=int(time.time()) - 120) == "unauthorized"
    assert outcome(key=crypt.RSASigner.from_string(pem, key_id="k1")) == "unauthorized"
    assert outcome(key=crypt.RSASigner.from_string(pem, key_id="k2")) == "unauthorized"
    assert asyncio.run(_outcome(authenticator, "a.b.c")) == "unauthorized"
    assert asyncio.run(_outcome(authenticator, "eyJhbGciOiJub25lIn0.e30.")) == "unauthorized"
    deep = base64.urlsafe_b64encode(b"[" * 2000).decode().rstrip("=")
    assert asyncio.run(_outcome(authenticator, f"eyJhbGciOiJSUzI1NiJ9.{deep}.eA")) == "unauthorized"
    assert len(fetched) == 1


def test_unavailable_certificates_are_not_fetched_for_every_request(
    signer: tuple[crypt.RSASigner, dict[str, str]],
) -> None:
    """Otherwise anyone who knows an account's name could make the service call Google without limit."""
    fetched: list[int] = []

    def unavailable() -> dict[str, str]:
        fetched.append(1)
        raise Unavailable("Google is unavailable")

    authenticator = Authenticator(
        AccessConfig.model_validate({"google": {"audience": AUDIENCE, "accounts": {ACCOUNT: ["encode"]}}}), unavailable
    )
    for _ in range(3):
        with pytest.raises(Unavailable):
            asyncio.run(_outcome(authenticator, jwt.encode(signer[0], _claims()).decode()))

    assert len(fetched) == 1


def test_tokens_appear_neither_in_output_nor_in_metrics(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, access={"tokens": TOKENS})
    client.post(PREDICT, json={"text": "hello"}, headers=_bearer(WEB))
    client.post(PREDICT, json={"text": "hello"}, headers=_bearer("a-wrong-token"))

    output = "".join(capfd.readouterr()) + client.get("/metrics", headers=_bearer(PROMETHEUS)).text
    assert WEB not in output
    assert "a-wrong-token" not in output
