"""The background work of a service: periodic callbacks while it runs, and callbacks at its shutdown."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

_JOIN_SECONDS = 1.0


class Lifespan:
    """Runs callbacks around the life of an app; `run` is what FastAPI takes as `lifespan`."""

    def __init__(self, interval: float, report: Callable[[str], None]) -> None:
        """Periodic callbacks run every `interval` seconds. `report` takes a message for the operator."""
        self._interval, self._report = interval, report
        self._periodic: list[Callable[[], None]] = []
        self._shutdown: list[Callable[[], Awaitable[None]]] = []

    def add_periodic(self, callback: Callable[[], None]) -> None:
        """Call `callback` periodically, in a thread of its own."""
        self._periodic.append(callback)

    def on_shutdown(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await `callback` at shutdown. Callbacks run in the reverse of the order in which they were added."""
        self._shutdown.append(callback)

    @asynccontextmanager
    async def run(self, _: FastAPI) -> AsyncIterator[None]:
        """Start the periodic callbacks; at the end, stop them and run the shutdown callbacks."""
        async with AsyncExitStack() as stack:
            for callback in self._shutdown:
                stack.push_async_callback(callback)
            stopped = threading.Event()
            threads = [
                threading.Thread(target=self._repeat, args=(callback, stopped), daemon=True)
                for callback in self._periodic
            ]
            for thread in threads:
                thread.start()
            yield
            stopped.set()
            for thread in threads:
                thread.join(_JOIN_SECONDS)

    def _repeat(self, callback: Callable[[], None], stopped: threading.Event) -> None:
        """Call `callback` until `stopped`. A thread each: one that hangs delays neither the others nor the shutdown."""
        reported: set[str] = set()
        while not stopped.wait(self._interval):
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - the next call must happen, whatever the error
                if (name := type(error).__name__) not in reported:
                    self._report(f"Checking heads and kill switches failed ({name}); it will be retried.")
                reported.add(name)
