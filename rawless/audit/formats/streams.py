"""Compressed streams: gzip and zlib wherever they start in a file, bzip2, xz, Zstandard and LZ4 as a whole file."""

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import pyarrow as pa

from rawless.audit.formats.source import Budget, Part, Reader, Source

_AUTOMATIC = 32 + zlib.MAX_WBITS
_STEP = 1 << 16
START = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
"""The first bytes of a gzip or zlib stream."""
_WHOLE: dict[bytes, Callable[[BinaryIO], Reader]] = {
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda file: pa.CompressedInputStream(file, "zstd"),
    b"\x04\x22\x4d\x18": lambda file: pa.CompressedInputStream(file, "lz4"),
}


def recognises(head: bytes) -> bool:
    """Return whether a file is compressed as a whole by another method than gzip and zlib."""
    return head.startswith(tuple(_WHOLE))


def parts(source: Source, budget: Budget) -> Iterator[Part]:
    """Yield the file, decompressed."""
    head = source.file.read(8)
    source.file.seek(0)
    (opened,) = [opener for magic, opener in _WHOLE.items() if head.startswith(magic)]
    yield from budget.read("decompressed", opened(source.file))


def embedded(file: BinaryIO, starts: Iterable[int], budget: Budget) -> Iterator[Part]:
    """Yield the gzip and zlib streams of a file that start at these places, also those that are cut off."""
    end = 0
    for start in starts:
        if start >= end:  # else within the stream before
            file.seek(start)
            stream = _Inflated(file)
            yield from budget.read(f"stream at {start}", stream)
            end = start + stream.consumed if stream.is_whole else end


class _Inflated:
    """The content of a gzip or zlib stream, as far as it is valid."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(_AUTOMATIC)
        self.consumed = 0

    @property
    def is_whole(self) -> bool:
        """Whether the stream was read to its end, where its checksum is."""
        return self._inflate.eof

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""
        output: list[bytes] = []
        data = b"start"
        while size and not self._inflate.eof and data:
            data = self._inflate.unconsumed_tail or self._file.read(_STEP)
            try:
                output.append(self._inflate.decompress(data, size))
            except zlib.error:
                break
            size -= len(output[-1])
            self.consumed += len(data) - len(self._inflate.unconsumed_tail) - len(self._inflate.unused_data)
        return b"".join(output)
