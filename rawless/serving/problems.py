"""Refusals as HTTP has them, and as OpenAPI describes them."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import Response
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rawless.privacy import Reason
from rawless.serving.errors import RETRY_AFTER_SECONDS, ErrorCode, RequestError, codes
from rawless.serving.responses import Problem

MEDIA_TYPE = "application/problem+json"
_HERE = {404: ErrorCode.NOT_FOUND, 405: ErrorCode.METHOD_NOT_ALLOWED}


def problem(refused: RequestError, headers: dict[str, str] | None = None) -> Response:
    """What a caller sees of a refusal."""
    status = HTTPStatus(refused.status)
    body = Problem(title=status.phrase, status=status, detail=refused.detail, reason=refused.code.value)
    own = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        own["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if status == HTTPStatus.UNAUTHORIZED:
        own["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # the rest of the body is not read
        own["Connection"] = "close"
    return Response(body.model_dump_json(), status_code=status, headers=own, media_type=MEDIA_TYPE)


def described(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the refusals with these statuses."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(code.value for code in codes(status))}",
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in sorted(statuses)
    }


async def handle_http_exception(_: Request, error: Exception) -> Response:
    """A path or method that there is not; the framework's words are not told."""
    if not isinstance(error, HTTPException):
        return problem(RequestError(Reason.INTERNAL))
    return problem(RequestError(_HERE.get(error.status_code, ErrorCode.BAD_REQUEST)), dict(error.headers or {}))


def closed(app: ASGIApp) -> ASGIApp:
    """The app, out of which no exception comes: the server would log it with its text and frames."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, sending)
        except Exception:
            if scope["type"] != "http":
                raise
            if not begun:
                await problem(RequestError(Reason.INTERNAL))(scope, receive, send)

    return guarded
