"""Who may call: bearer tokens and Google ID tokens, each with scopes. Else, whoever is on this machine.

A token is never kept, logged or compared in a time that tells of it: its digest is compared with every known one.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.auth import jwt
from google.auth.exceptions import GoogleAuthError
from starlette.datastructures import Headers

from rawless.errors import Unavailable
from rawless.serving.config import AccessConfig, GoogleConfig, Scope, TokenConfig
from rawless.serving.errors import ErrorCode, RequestError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
_LONGEST_TOKEN = 4096
_SKEW_SECONDS = 10
_CERTIFICATES_SECONDS = 3600.0
_RETRY_SECONDS = 10.0
"""Without certificates, before they are asked for again."""
_CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"
Certificates = Callable[[], Mapping[str, str]]


class Authenticator:
    """Judges whether a request may do what it asks."""

    def __init__(self, access: AccessConfig | None, certificates: Certificates | None = None) -> None:
        """`certificates` gives Google's public ones by their id; they are fetched by default."""
        self._tokens = access.tokens if access else ()
        self.is_open = access is None
        """Whether no token is asked for."""
        self._google = GoogleTokenVerifier(access.google, certificates or fetched) if access and access.google else None
        # One at a time, and no thread of anybody else's, however many come while Google is away.
        self._proving = ThreadPoolExecutor(1, "tokens")

    async def check(self, headers: Headers, scope: Scope | None) -> None:
        """Raises RequestError for a caller who is not known, or not for this; for any scope, when it is None."""
        if self.is_open:
            _check_host(headers)
            return
        scopes = await self._scopes(headers.get("authorization", ""))
        if scopes is None:
            raise RequestError(ErrorCode.UNAUTHORIZED)
        if scope is not None and scope not in scopes:
            raise RequestError(ErrorCode.FORBIDDEN)

    async def _scopes(self, authorization: str) -> tuple[Scope, ...] | None:
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN or not token.isascii():
            return None
        found = _known(token, self._tokens)
        if found is None and self._google and token.count(".") == 2:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._proving, self._google.scopes, token)
        return found.scopes if found else None


def _known(token: str, tokens: tuple[TokenConfig, ...]) -> TokenConfig | None:
    digest, found = hashlib.sha256(token.encode()).hexdigest(), None
    for each in tokens:  # all of them, whichever it is
        if hmac.compare_digest(digest, each.sha256):
            found = each
    return found


def _check_host(headers: Headers) -> None:
    """A page in a browser on this machine could reach a service that asks for no token, but under its own host name."""
    host = headers.get("host", "localhost")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() not in LOOPBACK:
        raise RequestError(ErrorCode.MISDIRECTED)


class GoogleTokenVerifier:
    """Google ID tokens for one audience, from accounts that are named. For one thread at a time."""

    def __init__(self, google: GoogleConfig, certificates: Certificates) -> None:
        self._google = google
        self._certificates = certificates
        self._cached: Mapping[str, str] | None = None
        self._until = 0.0

    def scopes(self, token: str) -> tuple[Scope, ...] | None:
        """Those of the account that a token proves, or None."""
        try:
            # Unproven yet: it only saves asking for certificates on behalf of strangers.
            claims: Mapping[str, Any] = jwt.decode(token, verify=False)
            if claims.get("email") not in self._google.accounts:
                return None
            claims = jwt.decode(
                token, self._known_certificates(), audience=self._google.audience, clock_skew_in_seconds=_SKEW_SECONDS
            )
        except (GoogleAuthError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return None
        if claims.get("iss") not in _ISSUERS or claims.get("email_verified") is not True:
            return None
        return self._google.accounts.get(str(claims.get("email")))

    def _known_certificates(self) -> Mapping[str, str]:
        if time.monotonic() >= self._until:
            self._cached, self._until = None, time.monotonic() + _RETRY_SECONDS
            self._cached, self._until = self._certificates(), time.monotonic() + _CERTIFICATES_SECONDS
        if self._cached is None:
            raise Unavailable("Google's certificates could not be fetched a moment ago.")
        return self._cached


def fetched() -> Mapping[str, str]:
    """Google's public certificates by their id. Raises Unavailable."""
    import httpx

    try:
        answer = httpx.get(_CERTIFICATES_URL, timeout=5.0).raise_for_status()
        return {str(name): str(each) for name, each in answer.json().items()}
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(f"Google's certificates could not be fetched ({type(error).__name__}).") from None
