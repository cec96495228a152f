"""Who follows the link once, in a browser on this machine, reads; everybody else is refused, and nobody writes."""

from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import PlainTextResponse

from rawless.console.access import BrowserGate, Sessions

PORT = 8123
HOST = f"127.0.0.1:{PORT}"
SECRET = PlainTextResponse("what the pages say")


class Door:
    """The gate before an application, and the links that it gives."""

    def __init__(self) -> None:
        self.sessions, self.entered = Sessions(), 0
        self.gate = BrowserGate(SECRET, PORT, self.sessions, self._enter)

    def _enter(self) -> None:
        self.entered += 1

    async def ask(self, path: str = "/", method: str = "GET", **headers: str | bytes) -> httpx.Response:
        transport = httpx.ASGITransport(self.gate)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await client.request(method, path, headers={"host": HOST, **headers})

    @property
    def link(self) -> str:
        return f"/enter?token={self.sessions.link_token}"


def run(awaited):
    """The result of a coroutine."""
    import asyncio

    return asyncio.run(awaited)


@pytest.fixture
def door() -> Iterator[Door]:
    return Door()


def cookie_of(response: httpx.Response) -> str:
    return response.headers["set-cookie"].partition(";")[0]


def test_a_link_is_exchanged_for_a_cookie_that_no_script_reads_and_no_other_site_sends(door: Door) -> None:
    entered = run(door.ask(door.link))

    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    attributes = {part.strip().lower() for part in entered.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= attributes
    assert run(door.ask(cookie=cookie_of(entered))).text == "what the pages say"
    assert door.entered == 1


def test_a_link_opens_the_console_once(door: Door) -> None:
    link = door.link
    first = run(door.ask(link))

    assert run(door.ask(link)).status_code == 403
    assert "link" in run(door.ask(link)).text
    assert run(door.ask(link, cookie=cookie_of(first))).status_code == 303  # in the same browser it leads on
    assert run(door.ask(door.link)).status_code == 303  # the next link is another one


def test_a_request_for_the_headers_of_a_link_does_not_use_it_up(door: Door) -> None:
    assert run(door.ask(door.link, "HEAD")).status_code == 403
    assert run(door.ask(door.link)).status_code == 303


@pytest.mark.parametrize(
    "cookie", ["", "rawless_console_8123=", "rawless_console_8123=é", "rawless_console_8124=x", ";="]
)
def test_without_the_cookie_nothing_is_told(door: Door, cookie: str) -> None:
    run(door.ask(door.link))
    refused = run(door.ask("/streams", cookie=cookie.encode("latin-1"))) if cookie else run(door.ask())

    assert refused.status_code == 401
    assert "what the pages say" not in refused.text
    assert "rawless console" in refused.text


@pytest.mark.parametrize("token", ["", "x", "é", "%00", "a" * 10_000])
def test_a_wrong_token_is_refused(door: Door, token: str) -> None:
    assert run(door.ask(f"/enter?token={token}")).status_code == 403
    assert run(door.ask("/enter")).status_code == 403
    assert door.entered == 0


@pytest.mark.parametrize("host", ["evil.example:8123", "127.0.0.1", "127.0.0.1:80", "[::1]:8123", "0.0.0.0:8123", ""])
def test_a_name_that_resolves_to_this_machine_is_no_address_of_the_console(door: Door, host: str) -> None:
    session = cookie_of(run(door.ask(door.link)))

    assert run(door.ask(cookie=session, host=host)).status_code == 403
    assert run(door.ask(door.link, host=host)).status_code == 403


def test_the_console_also_answers_at_localhost(door: Door) -> None:
    session = cookie_of(run(door.ask(door.link)))

    assert run(door.ask(cookie=session, host=f"localhost:{PORT}")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    ],
)
def test_a_page_of_another_site_gets_nothing_even_with_the_cookie(door: Door, headers: dict[str, str]) -> None:
    session = cookie_of(run(door.ask(door.link)))

    assert run(door.ask(cookie=session, **headers)).status_code == 403


def test_a_link_may_be_followed_from_a_terminal_in_a_browser_but_not_loaded_by_a_page(door: Door) -> None:
    loaded = run(door.ask(door.link, **{"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}))
    clicked = {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}

    assert loaded.status_code == 403
    assert run(door.ask(door.link, **clicked)).status_code == 303


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_no_method_but_get_and_head_is_allowed(door: Door, method: str) -> None:
    session = cookie_of(run(door.ask(door.link)))
    refused = run(door.ask(method=method, cookie=session))

    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_every_response_forbids_scripts_frames_other_hosts_and_copies(door: Door) -> None:
    for response in (run(door.ask(door.link)), run(door.ask()), run(door.ask(host="evil.example"))):
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert "unsafe" not in policy
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
