"""Callers over HTTP who cost next to nothing themselves: each keeps one connection and asks again when answered."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlparse


@dataclass
class Seen:
    """What callers saw."""

    latencies: list[float] = field(default_factory=list)
    """Seconds, of answers with status 200."""
    failed: int = 0
    """Answers with another status, and connections that broke."""
    seconds: float = 0.0
    """From the first question to the last answer."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Milliseconds within which so many of a hundred answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


def load(url: str, bodies: Sequence[bytes], callers: int) -> Seen:
    """Ask for all bodies, as JSON, by so many callers at a time."""
    return asyncio.run(loaded(url, bodies, callers))


async def loaded(url: str, bodies: Sequence[bytes], callers: int) -> Seen:
    """The same, inside a loop."""
    seen, left = Seen(), list(reversed(bodies))
    started = time.perf_counter()
    await asyncio.gather(*(_call(url, left, seen) for _ in range(callers)))
    seen.seconds = time.perf_counter() - started
    return seen


async def _call(url: str, left: list[bytes], seen: Seen) -> None:
    at = urlparse(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    while left:
        body = left.pop()
        head = f"POST {at.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        started = time.perf_counter()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, length = await _told(reader)
        await reader.readexactly(length)
        if status == 200:
            seen.latencies.append(time.perf_counter() - started)
        else:
            seen.failed += 1
    writer.close()


async def _told(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Status and length of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    return int(head.split()[1]), int(head.split("content-length:")[1].split()[0])
