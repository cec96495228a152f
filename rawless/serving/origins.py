"""Which web pages may call a service: those of its own origin, and of the origins that its file lists (CORS).

A browser names the origin of the page with each request that the page sends to another one, and with each POST.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rawless.serving import requests
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.problems import problem_response

PREFLIGHT_SECONDS = 600
"""How long a browser may remember the answer to a preflight request."""
_HEADERS = ", ".join(
    (
        *("authorization", "content-type", requests.EVENT_ID, requests.OCCURRED_AT, requests.SUBJECT_ID),
        *(requests.ATTRIBUTES, requests.FEATURES, requests.ASSIGNMENT_KEY),
    )
)
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": _HEADERS,
    "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
}


class Origins:
    """The origins whose pages may call a service."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = frozenset(allowed)

    def check(self, headers: Headers) -> None:
        """Raise RequestError for a request of a page of another origin.

        The host of the service itself is checked with the caller's token, or as a loopback name without tokens.
        """
        sent, host = headers.getlist("origin"), headers.get("host", "").lower()
        own = {f"http://{host}", f"https://{host}"}
        if len(sent) > 1 or any(origin not in self._allowed | own for origin in sent):
            raise RequestError(ErrorCode.CROSS_ORIGIN)

    def share(self, app: ASGIApp) -> ASGIApp:
        """Return an app that answers preflight requests, and lets the pages of allowed origins read its responses."""

        async def sharing(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            headers = Headers(scope=scope)

            async def marking_send(message: Message) -> None:
                if message["type"] == "http.response.start" and self._allowed:
                    self._mark(MutableHeaders(scope=message), headers)
                await send(message)

            is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
            await (self._preflight(headers) if is_preflight else app)(scope, receive, marking_send)

        return sharing

    def _preflight(self, headers: Headers) -> Response:
        try:
            self.check(headers)
        except RequestError as error:
            return problem_response(error)
        return Response(status_code=204, headers=_PREFLIGHT_HEADERS)

    def _mark(self, response: MutableHeaders, request: Headers) -> None:
        response.add_vary_header("Origin")
        if request.getlist("origin") == [origin := request.get("origin", "")] and origin in self._allowed:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Expose-Headers"] = "Retry-After"
