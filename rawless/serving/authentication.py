"""Authentication of callers by bearer tokens and Google ID tokens, and their authorization by scopes.

Without access configuration, only requests from this machine are accepted. Tokens are never stored or logged, and the
time of a comparison does not depend on them: a token's digest is compared with every known one.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from google.auth import jwt
from google.auth.exceptions import GoogleAuthError
from starlette.datastructures import Headers

from rawless.errors import Unavailable
from rawless.loopback import LOOPBACK
from rawless.serving.config import AccessConfig, GoogleConfig, Scope, TokenConfig
from rawless.serving.errors import ErrorCode, RequestError

_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
_MAX_TOKEN_LENGTH = 4096
_CLOCK_SKEW_SECONDS = 10
_CERTIFICATES_TTL_SECONDS = 3600.0
_RETRY_SECONDS = 10.0
"""Time between two attempts to fetch certificates."""
_CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"
Certificates = Callable[[], Mapping[str, str]]


class Grant(NamedTuple):
    """What a caller has proved, and what it permits."""

    credential: str
    """The SHA-256 of the token, or the e-mail address of the Google account."""
    scopes: tuple[Scope, ...]


class Authenticator:
    """Decides whether a caller may make a request."""

    def __init__(self, access: AccessConfig | None, certificates: Certificates | None = None) -> None:
        """`certificates` returns Google's public certificates by their id; by default they are fetched."""
        self._tokens = access.tokens if access else ()
        self.is_open = access is None
        """Whether no token is required."""
        self._google = (
            GoogleTokenVerifier(access.google, certificates or fetch_certificates) if access and access.google else None
        )
        # A single thread, shared with nothing else: a slow fetch of certificates delays only other verifications.
        self._verifier = ThreadPoolExecutor(1, "tokens")

    async def check(self, headers: Headers, scope: Scope | None) -> str | None:
        """Return the caller's credential, None without access configuration.

        Raises RequestError unless the caller is known and has `scope`; with None, any scope will do.
        """
        if self.is_open:
            _check_is_local_program(headers)
            return None
        grant = await self._grant(headers.get("authorization", ""))
        if grant is None:
            raise RequestError(ErrorCode.UNAUTHORIZED)
        if scope is not None and scope not in grant.scopes:
            raise RequestError(ErrorCode.FORBIDDEN)
        return grant.credential

    async def _grant(self, authorization: str) -> Grant | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_LENGTH or not token.isascii():
            return None
        known_token = _find_token(token, self._tokens)
        if known_token is None and self._google and token.count(".") == 2:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._verifier, self._google.verify, token)
        return Grant(known_token.sha256, known_token.scopes) if known_token else None


def _find_token(token: str, tokens: tuple[TokenConfig, ...]) -> TokenConfig | None:
    digest, match = hashlib.sha256(token.encode()).hexdigest(), None
    for candidate in tokens:  # without an early exit, so that the time does not depend on the position
        if hmac.compare_digest(digest, candidate.sha256):
            match = candidate
    return match


def _check_is_local_program(headers: Headers) -> None:
    """Raise RequestError for a request under another host name than a loopback one.

    A web page in a browser on this machine could otherwise reach a service without tokens under a name of its own that
    resolves to this machine. Pages that call it directly are of another origin (`rawless.serving.origins`).
    """
    host = headers.get("host", "localhost")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() not in LOOPBACK:
        raise RequestError(ErrorCode.MISDIRECTED)


class GoogleTokenVerifier:
    """Verifies Google ID tokens of configured accounts for one audience. Not safe for concurrent use."""

    def __init__(self, config: GoogleConfig, certificates: Certificates) -> None:
        self._config = config
        self._certificates = certificates
        self._cached: Mapping[str, str] | None = None
        self._expires_at = 0.0

    def verify(self, token: str) -> Grant | None:
        """Return the grant of the account that a token proves, or None. Raises Unavailable without certificates."""
        try:
            # Not verified yet: this only avoids fetching certificates for tokens of unknown accounts.
            claims: Mapping[str, Any] = jwt.decode(token, verify=False)
            if claims.get("email") not in self._config.accounts:
                return None
            claims = jwt.decode(
                token,
                self._cached_certificates(),
                audience=self._config.audience,
                clock_skew_in_seconds=_CLOCK_SKEW_SECONDS,
            )
        except (GoogleAuthError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return None
        if claims.get("iss") not in _ISSUERS or claims.get("email_verified") is not True:
            return None
        account = str(claims.get("email"))
        scopes = self._config.accounts.get(account)
        return None if scopes is None else Grant(account, scopes)

    def _cached_certificates(self) -> Mapping[str, str]:
        if time.monotonic() >= self._expires_at:
            self._cached, self._expires_at = None, time.monotonic() + _RETRY_SECONDS
            self._cached, self._expires_at = self._certificates(), time.monotonic() + _CERTIFICATES_TTL_SECONDS
        if self._cached is None:
            raise Unavailable("Google's certificates could not be fetched; they are fetched again within seconds.")
        return self._cached


def fetch_certificates() -> Mapping[str, str]:
    """Return Google's public certificates by their id. Raises Unavailable."""
    import httpx

    try:
        response = httpx.get(_CERTIFICATES_URL, timeout=5.0).raise_for_status()
        return {str(name): str(certificate) for name, certificate in response.json().items()}
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(f"Google's certificates could not be fetched ({type(error).__name__}).") from None
