"""Measure the time and memory that hostile images cost, each in a separate process."""

import struct
import subprocess
import sys
import time
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

from benchmarks.figures import Figure, figure, peak_memory
from encoders.image_formats.png import chunk

ROUNDS = 5


def measure(_: int) -> list[Figure]:
    """Milliseconds and megabytes for each file."""
    return [figure for name, content in _files().items() for figure in _measure_file(name, content)]


def _files() -> dict[str, bytes]:
    """Files of at most about 20 KB that would decode to gigabytes, and one of the largest allowed size."""
    return {
        "PNG, 60,000 x 60,000": _png(60_000, 60_000, bytes(20_000_000)),
        "PNG, 1 x 10,000, 256 x 2,560,000 when resized": _png(1, 10_000, bytes(20_000)),
        "PNG, 20 texts that inflate to 1 MB each": _png(64, 64, bytes(64 * 65), texts=20),
        "GIF, 60,000 x 60,000": _patch(_save("GIF"), b"GIF", 6, "<HH", 60_000, 60_000),
        "GIF, a frame of 60,000 x 60,000 on 64 x 64": _patch(_save("GIF"), b",\0\0\0\0", 5, "<HH", 60_000, 60_000),
        "WEBP, 16,383 x 16,383": _patch(_save("WEBP", lossless=True), b"VP8L", 9, "<I", 16_382 | 16_382 << 14),
        "BMP, 60,000 x 60,000": _patch(_save("BMP"), b"BM", 18, "<ii", 60_000, 60_000),
        "JPEG, 60,000 x 60,000": _patch(_save("JPEG"), b"\xff\xc0", 5, ">HH", 60_000, 60_000),
        "JPEG, progressive, 2,000 scans": _scans(2_000),
        "PNG, 7,000 x 7,000, allowed": _png(7_000, 7_000, bytes(7_000 * 7_001)),
    }


def _measure_file(name: str, content: bytes) -> list[Figure]:
    """Process one file in a new process, because a process does not return memory."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.hostile"], input=content, capture_output=True, check=True)
    outcome, megabytes, *milliseconds = done.stdout.decode().split()
    of = f"{name} ({len(content):,} bytes): {outcome}"
    return [
        figure("hostile", of, "judging it", [float(value) for value in milliseconds], "ms"),
        figure("hostile", of, "memory", [float(megabytes)], "MB"),
    ]


def _process(content: bytes) -> None:
    """Print the outcome, the growth of the process's memory in MB, and the milliseconds of each round."""
    from encoders.catalogue import lookup
    from encoders.image_model import prepare
    from encoders.image_spec import ImageSpec
    from rawless.content import ImageLimits
    from rawless.privacy import Reason, guarded

    spec = lookup("resnet18-seeded@1.0.0")
    if not isinstance(spec, ImageSpec):
        raise SystemExit("The benchmark is invalid: the seeded ResNet is not an image encoder.")
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP"):  # loads the decoders before measuring
        guarded(prepare, _save(kind), spec.preprocessing, ImageLimits())
    before, seconds = peak_memory(), []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        outcome = guarded(prepare, content, spec.preprocessing, ImageLimits())
        seconds.append(time.perf_counter() - started)
    result = outcome.value if isinstance(outcome, Reason) else "embedded"
    print(result, peak_memory() - before, *(1000 * duration for duration in seconds))


def _save(kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, kind, **options)
    return file.getvalue()


def _png(width: int, height: int, rows: bytes, texts: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9))
    return b"\x89PNG\r\n\x1a\n" + header + text * texts + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def _patch(content: bytes, marker: bytes, after: int, layout: str, *values: int) -> bytes:
    """Return the file with other numbers at the offset `after` from the start of a marker."""
    numbers, start = struct.pack(layout, *values), content.index(marker) + after
    return content[:start] + numbers + content[start + len(numbers) :]


def _scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    content = _save("JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


if __name__ == "__main__":
    _process(sys.stdin.buffer.read())
