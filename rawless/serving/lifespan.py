"""The background work of a service: periodic callbacks while it runs, and callbacks at its shutdown."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastapi import FastAPI

from rawless.garbage_collection import exempt_loaded

_JOIN_SECONDS = 1.0


class Lifespan:
    """Runs callbacks around the life of an app; `run` is what FastAPI takes as `lifespan`."""

    def __init__(self, interval: float, report: Callable[[str], None]) -> None:
        """Periodic callbacks run every `interval` seconds. `report` takes a message for the operator."""
        self._interval, self._report = interval, report
        self._periodic: list[tuple[Callable[[], None], float]] = []
        self._tasks: list[tuple[Callable[[], Awaitable[None]], float]] = []
        self._shutdown: list[Callable[[], Awaitable[None]]] = []

    def add_periodic(self, callback: Callable[[], None], interval: float | None = None) -> None:
        """Call `callback` periodically, in a thread of its own."""
        self._periodic.append((callback, interval or self._interval))

    def add_task(self, callback: Callable[[], Awaitable[None]], interval: float) -> None:
        """Await `callback` before the first request, and periodically, in the event loop."""
        self._tasks.append((callback, interval))

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
                threading.Thread(target=self._repeat, args=(callback, interval, stopped), daemon=True)
                for callback, interval in self._periodic
            ]
            for thread in threads:
                thread.start()
            for first, _interval in self._tasks:
                with suppress(Exception):  # it is called again
                    await first()
            exempt_loaded()
            tasks = [asyncio.create_task(self._repeat_task(*each)) for each in self._tasks]
            yield
            for running in tasks:
                running.cancel()
            stopped.set()
            for thread in threads:
                thread.join(_JOIN_SECONDS)

    def _repeat(self, callback: Callable[[], None], interval: float, stopped: threading.Event) -> None:
        """Call `callback` until `stopped`. A thread each: one that hangs delays neither the others nor the shutdown."""
        reported: set[str] = set()
        while not stopped.wait(interval):
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - the next call must happen, whatever the error
                self._report_once(error, reported)

    async def _repeat_task(self, callback: Callable[[], Awaitable[None]], interval: float) -> None:
        reported: set[str] = set()
        while True:
            await asyncio.sleep(interval)
            try:
                await callback()
            except Exception as error:  # noqa: BLE001 - as above
                self._report_once(error, reported)

    def _report_once(self, error: Exception, reported: set[str]) -> None:
        if (name := type(error).__name__) not in reported:
            self._report(f"A periodic check of the service failed ({name}); it will be retried.")
        reported.add(name)
