"""A store of objects that takes its time to answer, as a process of its own, which costs some microseconds a request.

It knows no more of Cloud Storage than what a download asks for, and reads its objects from stdin.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast
from urllib.parse import unquote

import uvloop

from rawless.content_parts import pack, unpack
from rawless.events.cloud_objects import forget_client

_HOST = "STORAGE_EMULATOR_HOST"


@contextmanager
def serving(payloads: Sequence[bytes], latency: float) -> Iterator[None]:
    """Serve objects named by their number, in any folder, each answer after `latency` seconds. The last is repeated."""
    command = [sys.executable, "-m", "benchmarks.object_store", str(latency)]
    before = os.environ.get(_HOST)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("no pipes")
        server.stdin.write(pack({str(number): payload for number, payload in enumerate(payloads)}))
        server.stdin.close()
        os.environ[_HOST] = f"http://127.0.0.1:{int(server.stdout.readline())}"
        forget_client()
        try:
            yield
        finally:
            forget_client()
            os.environ.pop(_HOST)
            if before is not None:
                os.environ[_HOST] = before
            server.kill()


class _Connection(asyncio.Protocol):
    def __init__(self, objects: dict[str, bytes], latency: float) -> None:
        self._objects, self._latency = objects, latency
        self._last = objects[str(len(objects) - 1)]
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode().partition("?")[0]
            asyncio.get_running_loop().call_later(self._latency, self._answer, unquote(path).rsplit("/", 1)[1])

    def _answer(self, name: str) -> None:
        content = self._objects.get(name, self._last)
        size = len(content)
        head = f"HTTP/1.1 206 Partial Content\r\nContent-Length: {size}\r\nContent-Range: bytes 0-{size - 1}/{size}"
        self._transport.writelines([head.encode(), b"\r\n\r\n", content])


async def _serve(objects: dict[str, bytes], latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(objects, latency), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(unpack(sys.stdin.buffer.read()), float(sys.argv[1])))
