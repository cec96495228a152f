"""Which requests the console answers: those of a browser that followed a link printed in the terminal.

The link can be followed once. It is exchanged for a cookie that scripts cannot read and other sites cannot send, so
that an address that a person copies, or a program sees in the list of processes, opens nothing.
"""

import secrets
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENTRY = "/enter"
METHODS = ("GET", "HEAD")
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_OWN_SITE = ("same-origin", "none")
"""What browsers send as Sec-Fetch-Site with requests of the console's own pages, and of an address that was typed."""


class Sessions:
    """The link that can be followed next, and the browsers that followed one before."""

    def __init__(self) -> None:
        self._link = secrets.token_urlsafe(32)
        self._open: list[str] = []

    @property
    def link_token(self) -> str:
        """The token of the link that can be followed next."""
        return self._link

    def exchange(self, token: str) -> str | None:
        """Return the secret of a new session for the token of the link, which then is another one; None if wrong."""
        if not _is_same(token, self._link):
            return None
        self._link, session = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._open.append(session)
        return session

    def is_open(self, session: str) -> bool:
        """Return whether a session has this secret."""
        return any(_is_same(session, each) for each in self._open)


class BrowserGate:
    """An application that refuses requests before it calls another application, and adds headers to each response."""

    def __init__(self, app: ASGIApp, port: int, sessions: Sessions, on_entered: Callable[[], None]) -> None:
        """`on_entered` is called when a browser has followed the link."""
        self._app, self._sessions, self._on_entered = app, sessions, on_entered
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        # Browsers send a cookie to all ports of a host: the name keeps those of two consoles apart.
        self._cookie = f"rawless_console_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; what is not HTTP is only passed on if it is the start or the end."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the response to a request that the application does not get: a refusal, or that to a link."""
        headers, is_entry = Headers(scope=scope), scope["path"] == ENTRY
        if len(hosts := headers.getlist("host")) != 1 or hosts[0] not in self._hosts:
            return _refuse(403, f"The console answers only at http://{self._hosts[0]}.")
        if scope["method"] not in METHODS:
            return _refuse(405, "The console only reads: send GET or HEAD.", {"Allow": ", ".join(METHODS)})
        if not _is_own_site(headers, hosts[0], is_entry=is_entry):
            return _refuse(403, "The console does not answer requests of other pages: type its address.")
        is_open = self._sessions.is_open(_cookie(headers, self._cookie))
        if is_entry:
            return self._enter(scope, is_open=is_open)
        return None if is_open else _refuse(401, "Open the link that `rawless console` printed last in its terminal.")

    def _enter(self, scope: Scope, *, is_open: bool) -> Response:
        if is_open:  # the link was opened automatically, and clicked again
            return RedirectResponse("/", 303)
        token = QueryParams(scope["query_string"]).get("token", "")
        session = self._sessions.exchange(token) if scope["method"] == "GET" else None
        if session is None:
            return _refuse(
                403, "This link was used already, or is not complete: open the one that `rawless console` printed last."
            )
        response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, session, path="/", httponly=True, samesite="strict")
        self._on_entered()
        return response


def _is_own_site(headers: Headers, host: str, *, is_entry: bool) -> bool:
    """Return whether no page of another site sent the request. A link may be followed from any page, as in a terminal.

    A browser sends an origin with each request whose answer a page could read.
    """
    origins = headers.getlist("origin")
    if origins not in ([], [f"http://{host}"]):
        return False
    return headers.get("sec-fetch-site", "none") in _OWN_SITE or (
        is_entry and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    )


def _cookie(headers: Headers, name: str) -> str:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def _refuse(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{sentence}\n", status, headers)


def _is_same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())
