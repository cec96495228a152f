"""Which requests the local servers answer: those of programs, but not those that a web page makes."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Gate:
    """An application that refuses requests before it calls another application.

    A browser sends the name of a page's server as the host, even where that name resolves to this machine, and an
    origin with each request that could change something or whose answer the page could read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 if the request comes from a web page."""
        app = _refusal if scope["type"] == "http" and _is_from_web_page(scope) else self._app
        await app(scope, receive, send)


def _is_from_web_page(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    address, port = scope["server"]
    return headers.getlist("host") != [f"{address}:{port}"] or "origin" in headers


_MESSAGE = "The local BigQuery answers only programs on this machine that ask for its own address."
_refusal = JSONResponse(
    {"error": {"code": 403, "message": _MESSAGE, "errors": [{"reason": "accessDenied", "message": _MESSAGE}]}}, 403
)
