"""Errors as problem responses (RFC 9457), and their descriptions for OpenAPI."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import Response
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rawless.privacy import Reason
from rawless.serving.errors import RETRY_AFTER_SECONDS, ErrorCode, RequestError, codes_of
from rawless.serving.responses import Problem

MEDIA_TYPE = "application/problem+json"
_FRAMEWORK_ERRORS = {404: ErrorCode.NOT_FOUND, 405: ErrorCode.METHOD_NOT_ALLOWED}


def problem_response(error: RequestError, headers: dict[str, str] | None = None) -> Response:
    """Return the response for an error, with the headers that its status requires added to `headers`."""
    status = HTTPStatus(error.status)
    problem = Problem(
        title=status.phrase, status=status, detail=error.detail, reason=error.code.value, feature=error.feature
    )
    all_headers = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        all_headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if status == HTTPStatus.UNAUTHORIZED:
        all_headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # the rest of the body is not read
        all_headers["Connection"] = "close"
    return Response(
        problem.model_dump_json(exclude_none=True), status_code=status, headers=all_headers, media_type=MEDIA_TYPE
    )


def describe_problems(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI descriptions of the problem responses with these statuses."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(code.value for code in codes_of(status))}",
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in sorted(statuses)
    }


async def handle_http_exception(_: Request, error: Exception) -> Response:
    """Return the response for an unknown path or method. The framework's own message is dropped."""
    if not isinstance(error, HTTPException):
        return problem_response(RequestError(Reason.INTERNAL))
    code = _FRAMEWORK_ERRORS.get(error.status_code, ErrorCode.BAD_REQUEST)
    return problem_response(RequestError(code), dict(error.headers or {}))


def contain_exceptions(app: ASGIApp) -> ASGIApp:
    """Return an app that answers 500 instead of raising: the server would log the exception's text and frames."""

    async def contained(scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def tracking_send(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await app(scope, receive, tracking_send)
        except Exception:
            if scope["type"] != "http":
                raise
            if not has_started:
                await problem_response(RequestError(Reason.INTERNAL))(scope, receive, send)

    return contained
