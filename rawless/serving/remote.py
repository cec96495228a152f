"""The encoder and the classifier as services of their own, as the orchestrator calls them.

Vectors travel as little-endian float32 of shape (dimension,).
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import TypeVar

import httpx
import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from encoders.encoder import Encoded
from encoders.spec import Vector
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.heads.artefact import HeadManifest
from rawless.privacy import Raw, Reason
from rawless.serving.config import RemoteConfig
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.requests import ATTRIBUTES
from rawless.serving.responses import Answer, Problem, Ranking

TOKEN_VARIABLE = "RAWLESS_SERVICE_TOKEN"  # noqa: S105 - the variable's name
FINGERPRINT, TRUNCATED = "rawless-encoder-fingerprint", "rawless-truncated"
BYTES = "application/octet-stream"
SERVERLESS = "x-serverless-authorization"
_CONNECT_SECONDS = 2.0
_TOKEN_SECONDS = 45 * 60.0
"""Google's ID tokens hold for an hour."""
M = TypeVar("M", bound=BaseModel)
A = TypeVar("A", Answer, Ranking)
_MANIFESTS = TypeAdapter(list[HeadManifest])


class _ServiceClient:
    """Calls one service, as who we are. Whatever goes wrong there is told as it must be told here."""

    def __init__(self, remote: RemoteConfig, seconds: float) -> None:
        """Raises UserError when there is no token."""
        self._remote, self._seconds = remote, seconds
        self._token, self._until = "", 0.0
        if remote.identity == "token" and not os.environ.get(TOKEN_VARIABLE):
            raise UserError(f"{remote.url} asks for a token: set {TOKEN_VARIABLE}, or identity: google.")
        timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def check_ready(self) -> None:
        """Raises RequestError while the service is not ready."""
        await self._asked("GET", "/readyz", headers=await self._identity())

    async def call(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Its answer, which is a good one. Raises RequestError."""
        own = {**await self._identity(), "content-type": BYTES, **(headers or {})}
        return await self._asked(method, path, content, own)

    async def _asked(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        try:
            async with asyncio.timeout(self._seconds):  # the client's own is for each part of an answer
                answer = await self._answered(method, path, content, headers)
        except TimeoutError:
            raise RequestError(ErrorCode.UNAVAILABLE) from None
        if answer.status_code != httpx.codes.OK:
            raise RequestError(_code(answer))
        return answer

    async def _answered(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str] | None
    ) -> httpx.Response:
        url = self._remote.url.rstrip("/") + path
        for _ in range(2):  # a kept connection may have died since
            try:
                return await self._client.request(method, url, content=content, headers=headers)
            except httpx.TimeoutException:
                break
            except Exception:  # noqa: BLE001, S112 - a dying connection raises more than httpx's own; texts may hold content
                continue
        raise RequestError(ErrorCode.UNAVAILABLE)

    async def _identity(self) -> dict[str, str]:
        token = f"Bearer {await self._known_token()}"
        # Cloud Run takes the signature off the token that it looks at, so it gets one of its own to look at.
        own = {SERVERLESS: token} if self._remote.identity == "google" else {}
        return {"authorization": token, **own}

    async def _known_token(self) -> str:
        if self._remote.identity == "token":
            return os.environ[TOKEN_VARIABLE]
        if time.monotonic() >= self._until:
            self._token = await asyncio.to_thread(_google_token, self._remote.url)
            self._until = time.monotonic() + _TOKEN_SECONDS
        return self._token


def _code(answer: httpx.Response) -> ErrorCode | Reason:
    """What a service refused for, as the orchestrator's caller is to learn it."""
    try:
        reason = Problem.model_validate_json(answer.content).reason
    except ValidationError:
        return ErrorCode.UNAVAILABLE
    if reason in (ErrorCode.QUEUE_FULL, ErrorCode.HEAD_MISMATCH, ErrorCode.HEAD_FAILED, ErrorCode.TOO_SLOW):
        return ErrorCode(reason)
    if (
        answer.status_code < 500
        and reason in tuple(Reason)
        and RequestError(Reason(reason)).status == answer.status_code
    ):
        return Reason(reason)
    return ErrorCode.UNAVAILABLE  # not allowed, not known there, or broken


def _google_token(audience: str) -> str:
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        return str(id_token.fetch_id_token(Request(), audience))  # type: ignore[no-untyped-call]
    except GoogleAuthError:
        raise RequestError(ErrorCode.UNAVAILABLE) from None


class RemoteEncoderBackend(_ServiceClient):
    """The encoder service."""

    async def encode(self, stream: Stream, fingerprint: str, item: Raw[bytes]) -> Encoded | Reason:
        """See `EncoderBackend.encode`."""
        try:
            answer = await self.call("POST", f"/v1/streams/{stream.stream}/encoders/{fingerprint}", item.reveal())
        except RequestError as refused:
            if isinstance(refused.code, Reason):
                return refused.code
            raise
        if answer.headers.get(FINGERPRINT) != fingerprint:
            raise RequestError(ErrorCode.HEAD_MISMATCH)
        try:
            return Encoded(vector_of(answer.content), answer.headers.get(TRUNCATED) == "true")
        except RequestError:  # the caller did nothing wrong
            raise RequestError(ErrorCode.UNAVAILABLE) from None


class RemoteClassifierBackend(_ServiceClient):
    """The classifier service."""

    async def answer(self, model: str, fingerprint: str, vector: Vector) -> Answer:
        """See `ClassifierBackend.answer`."""
        found = await self.call("POST", f"/v1/models/{model}/answer", bytes_of(vector), {FINGERPRINT: fingerprint})
        return _of(model, fingerprint, _read(Answer, found))

    async def rank(
        self, model: str, index: str, fingerprint: str, vector: Vector, attributes: Mapping[str, str], top: int
    ) -> Ranking:
        """See `ClassifierBackend.rank`."""
        headers = {FINGERPRINT: fingerprint, ATTRIBUTES: json.dumps(dict(attributes))}
        path = f"/v1/models/{model}/rank/{index}?top={top}"
        found = await self.call("POST", path, bytes_of(vector), headers)
        return _of(model, fingerprint, _read(Ranking, found))

    async def manifests(self) -> list[HeadManifest]:
        """See `ClassifierBackend.manifests`."""
        found = await self.call("GET", "/v1/models")
        try:
            return _MANIFESTS.validate_json(found.content)
        except ValidationError:
            raise RequestError(ErrorCode.UNAVAILABLE) from None


def _read(model: type[M], found: httpx.Response) -> M:
    try:
        return model.model_validate_json(found.content)
    except ValidationError:
        raise RequestError(ErrorCode.UNAVAILABLE) from None


def _of(model: str, fingerprint: str, answer: A) -> A:
    """An answer, if it is one of the head that was asked. Raises RequestError."""
    if (answer.model.head, answer.model.encoder_fingerprint) != (model, fingerprint):
        raise RequestError(ErrorCode.HEAD_MISMATCH)
    return answer


def bytes_of(vector: Vector) -> bytes:
    """A vector as it travels."""
    return np.asarray(vector, "<f4").tobytes()


def vector_of(content: bytes) -> Vector:
    """A vector that came. Raises RequestError for what is none."""
    vector = np.frombuffer(content, "<f4") if len(content) % 4 == 0 and content else None
    if vector is None or not np.isfinite(vector).all():
        raise RequestError(ErrorCode.BAD_REQUEST)
    return vector.astype(np.float32)
