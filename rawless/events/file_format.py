"""What kind of file a source is, by its first bytes: text that can be read, compressed or not, or anything else."""

import io
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from rawless.errors import Unavailable, UserError
from rawless.text_encoding import wide_encoding

HEAD = 512
_COMPRESSED = {b"\x1f\x8b\x08": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_SKIPPABLE = tuple(bytes([start]) + b"\x2a\x4d\x18" for start in range(0x50, 0x60))
"""Frames of metadata, which parallel compressors of Zstandard write first."""
_NOT_TEXT = {
    b"PAR1": "a Parquet file",
    b"PARE": "an encrypted Parquet file",
    b"Obj\x01": "an Avro file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3\0": "an SQLite database",
    b"PK\x03\x04": "a zip archive, as Excel workbooks are",
    b"\xfd7zXZ\0": "compressed by xz",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
}
_TAR = b"ustar"
_TAR_OFFSET = 257
RATIO = 200
"""How many times its size a file may have when it is decompressed."""
SMALLEST_LIMIT = 1 << 30
"""Bytes to which any file may be decompressed."""
_CHUNK = 1 << 20


def open_text(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed if it is compressed; it is never decompressed to disk.

    Raises Unavailable if that fails. Reading raises UserError where compressed data is damaged or far too much.
    """
    try:
        file = path.open("rb")
        head, size = file.read(HEAD), os.fstat(file.fileno()).st_size
        file.seek(0)
    except OSError as error:
        raise Unavailable(f"The source {path} could not be opened ({type(error).__name__}); run again.") from None
    return decompressed(file, head, str(path), size)


def decompressed(file: BinaryIO, head: bytes, where: str, size: int) -> BinaryIO:
    """Return an open file of `size` bytes, or one of its content if its first bytes say that it is compressed.

    Errors of reading call it `where`.
    """
    method = _compression(head)
    if method is None:
        return file
    return cast(BinaryIO, io.BufferedReader(_Decompressed(where, file, method, size), 1 << 16))


def is_compressed(head: bytes) -> bool:
    """Return whether a file with these first bytes is compressed in a way that is read here."""
    return _compression(head) is not None


class _Decompressed(io.RawIOBase):
    """The content of a compressed file, which is read forward only."""

    def __init__(self, where: str, file: BinaryIO, method: str, size: int) -> None:
        self._where = where
        self._method = method
        self._stream = pa.CompressedInputStream(file, method)
        self._left = max(SMALLEST_LIMIT, RATIO * size)

    def readable(self) -> bool:
        """See `io.RawIOBase.readable`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase.readinto`. Raises UserError."""
        try:
            data = self._stream.read(len(buffer))
        except (OSError, pa.ArrowException):
            data = None
        if data is None:  # outside of the handler, so that the library's exception is no context
            raise UserError(f"The data of {self._where} is damaged or cut off ({self._method}): copy the file again.")
        self._left -= len(data)
        if self._left < 0:
            raise UserError(
                f"{self._where} decompresses to over {RATIO} times its size and {SMALLEST_LIMIT:,} bytes: if it is "
                "what you expect, decompress it first."
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file too."""
        self._stream.close()
        super().close()


def skip(file: BinaryIO, size: int) -> None:
    """Move a newly opened file forward by `size` bytes."""
    if file.seekable():
        file.seek(size)
        return
    while size and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)


def check_text(path: str, option: str, wanted: str) -> bytes:
    """Return the first bytes of a file, decompressed.

    Raises UserError, which names the option and the format that is `wanted`, unless they can be UTF-8 text.
    """
    with open_text(Path(path)) as file:
        head = file.read(HEAD)
    check_text_head(head, path, option, wanted)
    return head


def check_text_head(head: bytes, where: str, option: str, wanted: str) -> None:
    """Raise UserError, as `check_text` does, unless the first bytes of the content of `where` can be UTF-8 text."""
    if kind := _kind(head):
        raise UserError(f"{option} names {where}, but that is {kind}: convert it to {wanted} in UTF-8.")
    if encoding := wide_encoding(head):
        raise UserError(
            f"{option} names {where}, but its text is {encoding}: convert it, as in `iconv -f {encoding} -t UTF-8`."
        )


def check_line_ends(path: str, option: str, head: bytes) -> None:
    """Raise UserError, which names the option, if the lines of a file with these first bytes have no line feeds."""
    if b"\n" not in head and b"\r" in head.rstrip(b"\r"):
        raise UserError(
            f"{option} names {path}, but its lines end with a carriage return only: end them with a line feed, as in "
            "`tr '\\r' '\\n'`."
        )


def _compression(head: bytes) -> str | None:
    if head.startswith(_SKIPPABLE):
        return "zstd"
    return next((method for start, method in _COMPRESSED.items() if head.startswith(start)), None)


def _kind(head: bytes) -> str | None:
    if method := _compression(head):
        return f"compressed by {method} twice"
    if head[_TAR_OFFSET:].startswith(_TAR):
        return "a tar archive"
    return next((kind for start, kind in _NOT_TEXT.items() if head.startswith(start)), None)
