"""The token of the local servers: how clients send it over HTTP and gRPC, and how servers check it."""

import secrets
from collections.abc import Callable, MutableMapping
from typing import Any

import grpc
from google.auth.credentials import AnonymousCredentials

HEADER = "authorization"
_CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1)]


def is_valid(header: str | None, token: str) -> bool:
    """Whether the value of the header contains the token."""
    return header is not None and secrets.compare_digest(header.encode(), _value(token).encode())


def open_channel(address: str, token: str) -> grpc.Channel:
    """Open a channel to a server on this machine that sends the token with each call, or none if it is empty."""
    channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
    return grpc.intercept_channel(channel, _Sender(token)) if token else channel


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
