"""`Offsets`: which messages of a partition are in progress, and before which offset all are done."""

from collections.abc import Iterable


class Offsets:
    """The messages of one partition that were read, in order, since it was assigned or read again."""

    def __init__(self) -> None:
        self._is_done: dict[int, bool] = {}

    def take(self, offset: int) -> None:
        """Add a message, which comes after all those before."""
        self._is_done[offset] = False

    def complete(self, offsets: Iterable[int]) -> int | None:
        """Return the offset from which messages are read again after a restart, if these move it."""
        for offset in offsets:
            self._is_done[offset] = True
        position = None
        while self._is_done and self._is_done[first := next(iter(self._is_done))]:
            del self._is_done[first]
            position = first + 1
        return position

    @property
    def first(self) -> int | None:
        """The first message that is not done."""
        return next(iter(self._is_done), None)
