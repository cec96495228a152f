"""Clients of encoder and classifier services, with which an orchestrator runs apart from both.

Vectors are sent as little-endian float32 values of shape (dimension,).
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx
import numpy as np
from pydantic import BaseModel, ValidationError

from encoders.encoder import Encoded, Role
from encoders.spec import Vector
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason
from rawless.serving.config import RemoteConfig
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.features import Features
from rawless.serving.requests import ATTRIBUTES, FEATURES
from rawless.serving.responses import Answer, Encoders, Loaded, Model, Problem, Ranking

TOKEN_VARIABLE = "RAWLESS_SERVICE_TOKEN"  # noqa: S105 - the variable's name
FINGERPRINT, ROLE, TRUNCATED = "rawless-encoder-fingerprint", "rawless-role", "rawless-truncated"
BYTES = "application/octet-stream"
SERVERLESS_AUTHORIZATION = "x-serverless-authorization"
_CONNECT_SECONDS = 2.0
_TOKEN_SECONDS = 45 * 60.0
"""How long a Google ID token is used; it is valid for an hour."""
_FORWARDED_CODES = (
    ErrorCode.QUEUE_FULL,
    ErrorCode.HEAD_MISMATCH,
    ErrorCode.HEAD_FAILED,
    ErrorCode.MISSING_FEATURE,
    ErrorCode.BAD_FEATURE,
    ErrorCode.TOO_SLOW,
)
ModelT = TypeVar("ModelT", bound=BaseModel)


class _ServiceClient:
    """An authenticated client of one service. Its errors are the ones that the orchestrator's caller gets."""

    def __init__(self, config: RemoteConfig, seconds: float) -> None:
        """Each call may take `seconds`. Raises UserError when the service's token is not set."""
        self._config, self._seconds = config, seconds
        self._google_token, self._expires_at = "", 0.0
        if config.identity == "token" and not os.environ.get(TOKEN_VARIABLE):
            raise UserError(f"{config.url} requires a token: set {TOKEN_VARIABLE}, or identity: google.")
        timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def check_ready(self) -> None:
        """Raise RequestError while the service is not ready."""
        await self._request("GET", "/ready", headers=await self._authorization())

    async def call(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Return the response, whose status is 200. Raises RequestError for any other."""
        all_headers = {**await self._authorization(), "content-type": BYTES, **(headers or {})}
        return await self._request(method, path, content, all_headers)

    async def _request(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        try:
            async with asyncio.timeout(self._seconds):  # httpx limits only the time of each part of a response
                response = await self._send(method, path, content, headers)
        except TimeoutError:
            raise RequestError(ErrorCode.UNAVAILABLE) from None
        if response.status_code != httpx.codes.OK:
            raise _error_of(response)
        return response

    async def _send(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str] | None
    ) -> httpx.Response:
        url = self._config.url.rstrip("/") + path
        for _ in range(2):  # the first attempt may use a kept connection that was closed meanwhile
            try:
                return await self._client.request(method, url, content=content, headers=headers)
            except httpx.TimeoutException:
                break
            except Exception:  # noqa: BLE001, S112 - a closing connection raises more than httpx's errors; texts may contain content
                continue
        raise RequestError(ErrorCode.UNAVAILABLE)

    async def _authorization(self) -> dict[str, str]:
        token = f"Bearer {await self._token()}"
        # Cloud Run removes the signature from the token that it checks, so it gets a header of its own to check.
        serverless = {SERVERLESS_AUTHORIZATION: token} if self._config.identity == "google" else {}
        return {"authorization": token, **serverless}

    async def _token(self) -> str:
        if self._config.identity == "token":
            return os.environ[TOKEN_VARIABLE]
        if time.monotonic() >= self._expires_at:
            self._google_token = await asyncio.to_thread(_fetch_google_token, self._config.url)
            self._expires_at = time.monotonic() + _TOKEN_SECONDS
        return self._google_token


def _error_of(response: httpx.Response) -> RequestError:
    """Return the error that the orchestrator's caller gets for a failed call of a service."""
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return RequestError(ErrorCode.UNAVAILABLE)
    reason, status = problem.reason, response.status_code
    if reason in _FORWARDED_CODES:
        return RequestError(ErrorCode(reason), problem.feature)
    if status < 500 and reason in tuple(Reason) and RequestError(Reason(reason)).status == status:
        return RequestError(Reason(reason))
    # The orchestrator lacks permission, the path is unknown, or the service is broken.
    return RequestError(ErrorCode.UNAVAILABLE)


def _fetch_google_token(audience: str) -> str:
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        return str(id_token.fetch_id_token(Request(), audience))  # type: ignore[no-untyped-call]
    except GoogleAuthError:
        raise RequestError(ErrorCode.UNAVAILABLE) from None


class RemoteEncoderBackend(_ServiceClient):
    """An encoder service."""

    async def encode(self, stream: Stream, fingerprint: str, item: Raw[bytes], role: Role) -> Encoded | Reason:
        """See `EncoderBackend.encode`."""
        path = f"/v1/streams/{stream.stream}/encoders/{fingerprint}"
        try:
            response = await self.call("POST", path, item.reveal(), {ROLE: role})
        except RequestError as error:
            if isinstance(error.code, Reason):
                return error.code
            raise
        if response.headers.get(FINGERPRINT) != fingerprint or response.headers.get(ROLE, "document") != role:
            raise RequestError(ErrorCode.HEAD_MISMATCH)
        try:
            return Encoded(vector_from_bytes(response.content), response.headers.get(TRUNCATED) == "true")
        except RequestError:  # an error of the service, not of the caller
            raise RequestError(ErrorCode.UNAVAILABLE) from None

    async def loaded(self) -> frozenset[str]:
        """See `EncoderBackend.loaded`."""
        return frozenset(_parse(Encoders, await self.call("GET", "/v1/encoders")).fingerprints)


class RemoteClassifierBackend(_ServiceClient):
    """A classifier service."""

    def __init__(self, config: RemoteConfig, seconds: float, space_of: Callable[[str], str]) -> None:
        """`space_of` returns the space as whose vectors heads take those of an encoder, by its fingerprint.

        Raises UserError when the service's token is not set.
        """
        super().__init__(config, seconds)
        self._space_of = space_of

    async def answer(self, model: str, fingerprint: str, vector: Vector, features: Features) -> Answer:
        """See `ClassifierBackend.answer`."""
        headers = {FINGERPRINT: fingerprint} | ({FEATURES: json.dumps(dict(features))} if features else {})
        response = await self.call("POST", f"/v1/models/{model}/answer", vector_to_bytes(vector), headers)
        answer = _parse(Answer, response)
        self._check(answer.model, model, fingerprint)
        return answer

    async def rank(
        self, model: str, index: str, fingerprint: str, vector: Vector, attributes: Mapping[str, str], top: int
    ) -> Ranking:
        """See `ClassifierBackend.rank`."""
        headers = {FINGERPRINT: fingerprint, ATTRIBUTES: json.dumps(dict(attributes))}
        path = f"/v1/models/{model}/rank/{index}?top={top}"
        response = await self.call("POST", path, vector_to_bytes(vector), headers)
        ranking = _parse(Ranking, response)
        if ranking.model:
            self._check(ranking.model, model, fingerprint)
        elif ranking.tower and (ranking.tower.ref, ranking.tower.encoder_fingerprint) != (model, fingerprint):
            raise RequestError(ErrorCode.HEAD_MISMATCH)
        return ranking

    def _check(self, other: Model, model: str, fingerprint: str) -> None:
        """Raise RequestError unless an answer is one of the requested head, for vectors of that encoder."""
        own = other.encoder_fingerprint
        is_of_space = fingerprint == own or self._space_of(fingerprint) in (other.encoder_space, own)
        if model not in (other.head, other.ref) or not is_of_space:
            raise RequestError(ErrorCode.HEAD_MISMATCH)

    async def loaded(self) -> Loaded:
        """See `ClassifierBackend.loaded`."""
        return _parse(Loaded, await self.call("GET", "/v1/models"))


def _parse(model: type[ModelT], response: httpx.Response) -> ModelT:
    try:
        return model.model_validate_json(response.content)
    except ValidationError:
        raise RequestError(ErrorCode.UNAVAILABLE) from None


def vector_to_bytes(vector: Vector) -> bytes:
    """Return a vector as little-endian float32 values."""
    return np.asarray(vector, "<f4").tobytes()


def vector_from_bytes(content: bytes) -> Vector:
    """Return the vector of little-endian float32 values. Raises RequestError for anything else."""
    vector = np.frombuffer(content, "<f4") if len(content) % 4 == 0 and content else None
    if vector is None or not np.isfinite(vector).all():
        raise RequestError(ErrorCode.BAD_REQUEST)
    return vector.astype(np.float32)
