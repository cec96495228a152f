"""A lightweight HTTP load generator: each caller keeps one connection and sends its next request after the response."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlparse


@dataclass
class LoadResult:
    """The responses that callers received."""

    latencies: list[float] = field(default_factory=list)
    """Seconds of each response with status 200."""
    failed: int = 0
    """Responses with another status."""
    seconds: float = 0.0
    """Seconds from the first request to the last response."""

    @property
    def rate(self) -> float:
        """Responses per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Return the percentile of the latencies in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


def generate_load(url: str, bodies: Sequence[bytes], callers: int, kind: str = "application/json") -> LoadResult:
    """Send all bodies, of one content type, with a number of concurrent callers."""
    return asyncio.run(generate_load_async(url, bodies, callers, kind))


async def generate_load_async(
    url: str, bodies: Sequence[bytes], callers: int, kind: str = "application/json"
) -> LoadResult:
    """Like `generate_load`, in a running event loop."""
    result, pending = LoadResult(), list(reversed(bodies))
    started = time.perf_counter()
    await asyncio.gather(*(_call(url, pending, result, kind) for _ in range(callers)))
    result.seconds = time.perf_counter() - started
    return result


async def _call(url: str, pending: list[bytes], result: LoadResult, kind: str) -> None:
    address = urlparse(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    while pending:
        body = pending.pop()
        head = f"POST {address.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        started = time.perf_counter()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, length = await _read_head(reader)
        await reader.readexactly(length)
        if status == 200:
            result.latencies.append(time.perf_counter() - started)
        else:
            result.failed += 1
    writer.close()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """The status and the content length of a response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    return int(head.split()[1]), int(head.split("content-length:")[1].split()[0])
