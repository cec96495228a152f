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


class Denied(Exception):
    """The account lacks the permission for a request."""


@dataclass(frozen=True)
class Google:
    """Google's REST APIs.

    Requests raise Denied without permission, Unavailable if an API does not answer, UserError without credentials.
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

    def _request(self, method: str, service: str, path: str, **options: Any) -> dict[str, Any] | None:
        url = f"{self.endpoint.format(service=service)}/{path}"
        try:
            response = self._session.request(method, url, timeout=_SECONDS, **options)
            if response.status_code == _MISSING:
                return None
            if response.status_code == _DENIED:
                raise Denied
            response.raise_for_status()
            return dict(response.json())
        except (GoogleAuthError, OSError, ValueError) as error:  # the errors of requests are OSErrors
            raise Unavailable(f"{service} did not answer ({type(error).__name__}); run the command again.") from None
