"""Which requests the local servers answer: those with their token, which only the home folder's owner can read."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from rawless import bearer


class Gate:
    """An application that refuses requests before it calls another application.

    A browser sends the name of a page's server as the host, even where that name resolves to this machine, and an
    origin with each request that could change something or whose answer the page could read.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 if the request comes from a web page, 401 if it has no token."""
        app = self._app
        if scope["type"] == "http":
            headers, (address, port) = Headers(scope=scope), scope["server"]
            if headers.getlist("host") != [f"{address}:{port}"] or "origin" in headers:
                app = _FORBIDDEN
            elif not bearer.is_valid(headers.get(bearer.HEADER), self._token):
                app = _UNAUTHORIZED
        await app(scope, receive, send)


class TokenInterceptor(grpc.ServerInterceptor):
    """Answers calls without the token with UNAUTHENTICATED."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Return the handler of a call."""
        return continuation(handler_call_details) if _has_token(handler_call_details, self._token) else _REFUSE


class AsyncTokenInterceptor(grpc.aio.ServerInterceptor):
    """The same for an asynchronous server."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> grpc.RpcMethodHandler:
        """Return the handler of a call."""
        if _has_token(handler_call_details, self._token):
            return await continuation(handler_call_details)
        return _REFUSE_ASYNC


def _has_token(details: Any, token: str) -> bool:
    return bearer.is_valid(dict(details.invocation_metadata or ()).get(bearer.HEADER), token)


def _refuse(_: Any, context: Any) -> Any:
    return context.abort(grpc.StatusCode.UNAUTHENTICATED, _NO_TOKEN)


async def _refuse_async(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, _NO_TOKEN)


def _error(code: int, reason: str, message: str) -> JSONResponse:
    return JSONResponse(
        {"error": {"code": code, "message": message, "errors": [{"reason": reason, "message": message}]}}, code
    )


_NO_TOKEN = "The local servers answer only requests with the token in local.json, in the home folder."  # noqa: S105
_FORBIDDEN = _error(403, "accessDenied", "The local BigQuery answers only requests of programs for its own address.")
_UNAUTHORIZED = _error(401, "authError", _NO_TOKEN)
# A handler of streams, because it is called before the first request was sent.
_REFUSE = grpc.stream_stream_rpc_method_handler(_refuse)
_REFUSE_ASYNC = grpc.stream_stream_rpc_method_handler(_refuse_async)
