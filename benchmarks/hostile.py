"""What a hostile picture costs: milliseconds and memory, each file in a process of its own."""

import struct
import subprocess
import sys
import time
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

from benchmarks.figures import Figure, figure, peak
from encoders.image_formats.png import chunk

ROUNDS = 5


def measure(_: int) -> list[Figure]:
    """What judging each file costs, in milliseconds and in megabytes."""
    return [figure for name, content in _files().items() for figure in _apart(name, content)]


def _files() -> dict[str, bytes]:
    """Files of about 20 KB and less that would decode to gigabytes, and one of the largest that is allowed."""
    return {
        "PNG, 60,000 x 60,000": _png(60_000, 60_000, bytes(20_000_000)),
        "PNG, 1 x 10,000, 256 x 2,560,000 when resized": _png(1, 10_000, bytes(20_000)),
        "PNG, 20 texts that inflate to 1 MB each": _png(64, 64, bytes(64 * 65), texts=20),
        "GIF, 60,000 x 60,000": _patched(_saved("GIF"), b"GIF", 6, "<HH", 60_000, 60_000),
        "GIF, a frame of 60,000 x 60,000 on 64 x 64": _patched(_saved("GIF"), b",\0\0\0\0", 5, "<HH", 60_000, 60_000),
        "WEBP, 16,383 x 16,383": _patched(_saved("WEBP", lossless=True), b"VP8L", 9, "<I", 16_382 | 16_382 << 14),
        "BMP, 60,000 x 60,000": _patched(_saved("BMP"), b"BM", 18, "<ii", 60_000, 60_000),
        "JPEG, 60,000 x 60,000": _patched(_saved("JPEG"), b"\xff\xc0", 5, ">HH", 60_000, 60_000),
        "JPEG, progressive, 2,000 scans": _scans(2_000),
        "PNG, 7,000 x 7,000, allowed": _png(7_000, 7_000, bytes(7_000 * 7_001)),
    }


def _apart(name: str, content: bytes) -> list[Figure]:
    """Of one file, in a fresh process that makes none itself: memory once taken is not given back."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.hostile"], input=content, capture_output=True, check=True)
    outcome, megabytes, *milliseconds = done.stdout.decode().split()
    of = f"{name} ({len(content):,} bytes): {outcome}"
    return [
        figure("hostile", of, "judging it", [float(each) for each in milliseconds], "ms"),
        figure("hostile", of, "memory", [float(megabytes)], "MB"),
    ]


def _judge(content: bytes) -> None:
    """Prints outcome, growth of the process's memory in MB, and milliseconds of each round."""
    from encoders.catalogue import lookup
    from encoders.image_model import prepare
    from encoders.image_spec import ImageSpec
    from rawless.content import ImageLimits
    from rawless.privacy import Reason, guarded

    spec = lookup("resnet18-seeded@1.0.0")
    if not isinstance(spec, ImageSpec):
        raise SystemExit("The bench is void: the seeded ResNet is no image encoder.")
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP"):  # loads the decoders
        guarded(prepare, _saved(kind), spec.preprocessing, ImageLimits())
    before, seconds = peak(), []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        outcome = guarded(prepare, content, spec.preprocessing, ImageLimits())
        seconds.append(time.perf_counter() - started)
    said = outcome.value if isinstance(outcome, Reason) else "embedded"
    print(said, peak() - before, *(1000 * each for each in seconds))


def _saved(kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, kind, **options)
    return file.getvalue()


def _png(width: int, height: int, rows: bytes, texts: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9))
    return b"\x89PNG\r\n\x1a\n" + header + text * texts + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def _patched(content: bytes, mark: bytes, after: int, layout: str, *values: int) -> bytes:
    """A file with other numbers, so many bytes after the start of a mark."""
    lie, start = struct.pack(layout, *values), content.index(mark) + after
    return content[:start] + lie + content[start + len(lie) :]


def _scans(count: int) -> bytes:
    """The last scan of a progressive JPEG, again and again."""
    content = _saved("JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


if __name__ == "__main__":
    _judge(sys.stdin.buffer.read())
