"""How both clients reach a service: address, token, timeouts, and replies without the texts of exceptions."""

from collections.abc import Mapping
from typing import NamedTuple

import httpx

from rawless.client.errors import NO_ANSWER, NO_CONNECTION
from rawless.client.flows import Reply
from rawless.errors import UserError
from rawless.loopback import is_loopback

CONNECT_SECONDS = 5.0
_LEAST = {"timeout": 0.001, "retries": 0, "pause": 0, "concurrency": 1}


class Connection(NamedTuple):
    """What an httpx client needs to reach a service."""

    url: str
    headers: dict[str, str]
    timeout: httpx.Timeout
    trust_env: bool
    """Whether a proxy of the environment is used; never for a service on this machine."""


def connection(url: str, token: str | None, timeout: float) -> Connection:
    """Return how a service is reached. Raises UserError for an address that would not keep content confidential."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise UserError("The URL of the service is invalid: give one such as https://heads.example.") from None
    is_local = is_loopback(parsed.host)
    if not parsed.host or parsed.scheme not in ("http", "https") or (parsed.scheme == "http" and not is_local):
        raise UserError(
            "The URL of the service must begin with https://, or with http:// for a service on this machine: content "
            "and tokens are sent there."
        )
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise UserError("The URL of the service has a password, a query or a fragment: leave it out.")
    if token is not None and not (token.isascii() and token.isprintable() and token and " " not in token):
        raise UserError("The token is empty, or has a character that a header cannot have: check how it is read.")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Connection(str(parsed).rstrip("/"), headers, httpx.Timeout(timeout, connect=CONNECT_SECONDS), not is_local)


def check_numbers(numbers: Mapping[str, float]) -> None:
    """Raise UserError for a timeout or a number of requests that is not positive, a negative pause or no number."""
    for name, value in numbers.items():
        least = _LEAST.get(name)
        if least is None:
            raise UserError(f"A client has no setting {name}, but {', '.join(_LEAST)}.")
        if not (isinstance(value, int | float) and value >= least):
            raise UserError(f"{name} is {value!r}, but must be a number of at least {least}.")


def reply_of(response: httpx.Response) -> Reply:
    """Return a response that was read."""
    return Reply(response.status_code, response.content, response.headers.get("retry-after", ""))


def failure_of(error: httpx.HTTPError) -> Reply:
    """Return that there is no response: the request may have reached the service, or it cannot have."""
    is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return Reply(None, b"", reason=NO_CONNECTION if is_unsent else NO_ANSWER)
