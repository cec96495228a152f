"""What both clients share: their settings, and how items become requests."""

from collections.abc import Iterable
from typing import Any, TypedDict

from rawless.answers import Offer, Result
from rawless.client import flows
from rawless.client.connection import check_numbers, connection
from rawless.client.items import Encoded, chunks
from rawless.errors import UserError


class Settings(TypedDict, total=False):
    """The settings of a client."""

    timeout: float
    """Seconds that an attempt may take; 30 by default."""
    retries: int
    """How often what fails for a moment is sent again; 4 by default."""
    pause: float
    """About the seconds of the first pause between attempts, which double; 0.25 by default. A service that asks for a
    longer one gets it."""
    concurrency: int
    """Requests that `predict_many` has in progress at a time; 4 by default."""


class ClientBase:
    """A client without its connection."""

    def __init__(self, url: str, token: str | None, settings: Settings) -> None:
        numbers: dict[str, Any] = {"timeout": 30.0, "retries": 4, "pause": 0.25, "concurrency": 4, **settings}
        check_numbers(numbers)
        self._address = connection(url, token, numbers["timeout"])
        self._retries = flows.Retries(int(numbers["retries"]), numbers["pause"])
        self._concurrency = int(numbers["concurrency"])
        self._offers: dict[str, Offer] = {}

    def _requests(self, head: str, items: Iterable[Encoded]) -> list[flows.Flow[list[Result]]]:
        """Return the requests for items, by what the service says that it takes. Raises UserError for no such head."""
        flows.check_name(head)
        if head not in self._offers:
            raise UserError(f"The service has no head {head!r}, but {', '.join(self._offers)}: choose one of them.")
        offer = self._offers[head]
        parts = chunks(items, offer.max_items, offer.max_request_bytes)
        return [flows.predict_chunk(head, part, self._retries) for part in parts]
