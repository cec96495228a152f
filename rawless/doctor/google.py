"""Asking Google's REST APIs, by whatever credentials are here."""

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
    """This account may not look."""


@dataclass(frozen=True)
class Google:
    """The APIs. Raises Denied where this account may not look, Unavailable where nothing answers."""

    endpoint: str = ENDPOINT

    @cached_property
    def _session(self) -> Any:
        import google.auth
        from google.auth.transport.requests import AuthorizedSession

        try:
            credentials, _ = google.auth.default(scopes=_SCOPES)
        except DefaultCredentialsError:
            raise UserError(
                "There are no Google credentials here: run `gcloud auth application-default login`."
            ) from None
        return AuthorizedSession(credentials)

    def get(self, service: str, path: str, **query: Any) -> dict[str, Any] | None:
        """What lies there; None when nothing does."""
        return self._ask("GET", service, path, params=query)

    def post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """What is answered; None when nothing lies there."""
        return self._ask("POST", service, path, json=body)

    def _ask(self, method: str, service: str, path: str, **sent: Any) -> dict[str, Any] | None:
        url = f"{self.endpoint.format(service=service)}/{path}"
        try:
            answer = self._session.request(method, url, timeout=_SECONDS, **sent)
            if answer.status_code == _MISSING:
                return None
            if answer.status_code == _DENIED:
                raise Denied
            answer.raise_for_status()
            return dict(answer.json())
        except (GoogleAuthError, OSError, ValueError) as error:  # requests' own errors are OSErrors
            raise Unavailable(f"{service} did not answer ({type(error).__name__}); run the command again.") from None
