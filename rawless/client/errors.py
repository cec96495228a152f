"""The error of a request that a service did not answer as asked."""

from rawless.errors import RawlessError

NO_CONNECTION, NO_ANSWER, UNEXPECTED = "no_connection", "no_answer", "unexpected_response"
"""The reasons that the client itself gives; all others are those of the service."""
TRANSIENT = frozenset({"queue_full", "unavailable", "head_mismatch", "too_slow", NO_CONNECTION, NO_ANSWER})
"""The reasons that may be gone with the next attempt."""
UNFINISHED = frozenset({"too_slow", NO_ANSWER})
"""The reasons after which the service may have logged the item already."""


class ServiceError(RawlessError):
    """A request that a service did not answer as asked. It contains nothing of the request."""

    def __init__(self, status: int | None, reason: str, detail: str, feature: str | None = None) -> None:
        """`status` is the one of HTTP, None if there was no response. `feature` is the one that is wrong, if any."""
        super().__init__(f"{detail} ({reason}{f', status {status}' if status else ''})")
        self.status, self.reason, self.detail, self.feature = status, reason, detail, feature

    def __reduce__(self) -> tuple[type["ServiceError"], tuple[int | None, str, str, str | None]]:
        """Return how it is copied to another process."""
        return ServiceError, (self.status, self.reason, self.detail, self.feature)
