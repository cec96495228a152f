"""The places for items in progress, each of which has its content in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from rawless.serving.errors import ErrorCode, RequestError


class ItemQueue:
    """A number of places, which requests take and give back."""

    def __init__(self, places: int) -> None:
        self._free = places

    @contextmanager
    def enter(self) -> Iterator["PlacesOfRequest"]:
        """Yield the places of one request, at first one. Raises RequestError if there is none."""
        places = PlacesOfRequest(self)
        places.extend_to(1)
        try:
            yield places
        finally:
            self._free += places.taken

    def take(self, number: int) -> None:
        """Take places. Raises RequestError if there are not enough."""
        if number > self._free:
            raise RequestError(ErrorCode.QUEUE_FULL)
        self._free -= number


class PlacesOfRequest:
    """The places that one request has."""

    def __init__(self, queue: ItemQueue) -> None:
        self._queue, self.taken = queue, 0

    def extend_to(self, number: int) -> None:
        """Take places until there are `number`. Raises RequestError if there are not enough."""
        if number > self.taken:
            self._queue.take(number - self.taken)
            self.taken = number
