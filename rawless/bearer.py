"""Requests to servers on this machine: how clients send them and their token, and how servers check that.

Clients ignore the proxy that the environment names: it would receive every request and answer, none of them encrypted.
"""

import secrets
from collections.abc import Callable, MutableMapping
from typing import Any

import grpc
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession

HEADER = "authorization"
_CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]


def is_valid(header: str | None, token: str) -> bool:
    """Whether the value of the header contains the token."""
    return header is not None and secrets.compare_digest(header.encode(), _value(token).encode())


def open_channel(address: str, token: str) -> grpc.Channel:
    """Open a channel to a server on this machine that sends the token with each call, or none if it is empty."""
    channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
    return grpc.intercept_channel(channel, _Sender(token)) if token else channel


def open_session(credentials: AnonymousCredentials) -> Any:
    """Open a session of HTTP requests to a server on this machine, for Google's clients."""
    session = AuthorizedSession(credentials)
    session.trust_env = False  # neither a proxy nor the passwords in ~/.netrc, which would replace the token
    return session


class TokenCredentials(AnonymousCredentials):
    """Credentials of a server on this machine for Google's HTTP clients. An empty token is not sent."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def before_request(self, request: Any, method: str, url: str, headers: MutableMapping[str, str]) -> None:
        """Add the token to the headers of a request."""
        if self._token:
            headers[HEADER] = _value(self._token)


class _Sender(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the token to the metadata of each call."""

    def __init__(self, token: str) -> None:
        self._entry = (HEADER, _value(token))

    def _send(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(details._replace(metadata=[*(details.metadata or ()), self._entry]), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = _send


def _value(token: str) -> str:
    return f"Bearer {token}"
