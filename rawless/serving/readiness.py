"""Whether a service is ready, checked once a second at most: anybody may ask, and a check may call other services."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from rawless.serving.errors import Code, ErrorCode, RequestError

SECONDS = 1.0
"""How long the outcome of a check is used."""


class Readiness:
    """The outcome of the latest check. Callers that ask during a check wait for that one."""

    def __init__(self, check_ready: Callable[[], Awaitable[None]]) -> None:
        """`check_ready` raises an exception while the service is not ready."""
        self._check_ready = check_ready
        self._check: asyncio.Task[Code | None] | None = None
        self._ended_at = 0.0

    async def check(self) -> None:
        """Raise RequestError while the service is not ready."""
        if self._check is None or (self._check.done() and time.monotonic() - self._ended_at >= SECONDS):
            self._check = asyncio.create_task(self._run())
        if code := await asyncio.shield(self._check):  # a caller that gives up does not cancel the check of the others
            raise RequestError(code)

    async def _run(self) -> Code | None:
        try:
            await self._check_ready()
        except RequestError as error:
            return error.code
        except Exception:  # noqa: BLE001 - whatever it is, requests cannot be answered
            return ErrorCode.UNAVAILABLE
        finally:
            self._ended_at = time.monotonic()
        return None
