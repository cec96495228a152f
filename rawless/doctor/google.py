"""A small client of Google's REST APIs that uses the application default credentials."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

from rawless.errors import Unavailable, UserError

ENDPOINT = "https://{service}.googleapis.com"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_SECONDS = 30.0
_DENIED, _MISSING = 403, 404
_REFUSED = range(400, 500)
_BUSY = (408, 429)
"""The request may succeed later."""
_MAX_DETAIL = 300


class Denied(Exception):
    """The account lacks the permission for a request."""


class Refused(Unavailable):
    """An API refused a request for another reason than a permission: nothing was done."""

    def __init__(self, service: str, status: int, detail: str) -> None:
        super().__init__(f"{service} refused the request ({status}); run the command again.")
        self.status = status
        self.detail = detail
        """The first line of the API's message."""


@dataclass(frozen=True)
class Google:
    """Google's REST APIs.

    Requests raise Denied without permission, Refused if an API refuses one for another reason, Unavailable if it does
    not answer, and UserError without credentials. A request that was not answered may have been carried out.
    """

    endpoint: str = ENDPOINT

    @cached_property
    def _session(self) -> Any:
        import google.auth
        from google.auth.transport.requests import AuthorizedSession

        try:
            credentials, _ = google.auth.default(scopes=_SCOPES)
        except DefaultCredentialsError:
            raise UserError("No Google credentials were found: run `gcloud auth application-default login`.") from None
        return AuthorizedSession(credentials)

    def get(self, service: str, path: str, **query: Any) -> dict[str, Any] | None:
        """Send a GET request and return the JSON response, or None if the resource does not exist."""
        return self._request("GET", service, path, params=query)

    def post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Send a POST request and return the JSON response, or None if the resource does not exist."""
        return self._request("POST", service, path, json=body)

    def put(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Send a PUT request and return the JSON response, or None if the resource does not exist."""
        return self._request("PUT", service, path, json=body)

    def _request(self, method: str, service: str, path: str, **options: Any) -> dict[str, Any] | None:
        url = f"{self.endpoint.format(service=service)}/{path}"
        try:
            response = self._session.request(method, url, timeout=_SECONDS, **options)
            if response.status_code == _MISSING:
                return None
            if response.status_code == _DENIED:
                raise Denied
            if response.status_code in _REFUSED and response.status_code not in _BUSY:
                raise Refused(service, response.status_code, _detail(response))
            response.raise_for_status()
            return dict(response.json())
        except (GoogleAuthError, OSError, ValueError) as error:  # the errors of requests are OSErrors
            raise Unavailable(f"{service} did not answer ({type(error).__name__}); run the command again.") from None


def _detail(response: Any) -> str:
    """Return the first line of the message of an error, as one that ends a sentence of ours."""
    try:
        line = str(response.json()["error"]["message"]).strip().splitlines()[0].rstrip(".")
    except (ValueError, LookupError, TypeError):
        return "without a reason"
    return line if len(line) <= _MAX_DETAIL else line[: _MAX_DETAIL - 1] + "…"
