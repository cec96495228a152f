"""Archives: zip, with everything that is one inside, and tar."""

import tarfile
import zipfile
from collections.abc import Iterator

from rawless.audit.formats.source import Budget, Part, Source

_TAR_MAGIC_AT = 257


def is_zip(head: bytes) -> bool:
    """Return whether a file is a zip archive."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def zip_parts(source: Source, budget: Budget) -> Iterator[Part]:
    """Yield the names and the files of a zip archive. Raises an error if one is encrypted."""
    with zipfile.ZipFile(source.file) as archive:
        yield Part("names", "\n".join(archive.namelist()).encode())
        for member in archive.infolist():
            with archive.open(member) as file:
                yield from budget.read(member.filename, file)


def is_tar(head: bytes) -> bool:
    """Return whether a file is a tar archive."""
    return head[_TAR_MAGIC_AT:].startswith(b"ustar")


def tar_parts(source: Source, budget: Budget) -> Iterator[Part]:
    """Yield the files of a tar archive."""
    with tarfile.open(fileobj=source.file, mode="r:") as archive:
        for member in archive:
            if file := archive.extractfile(member):
                yield from budget.read(member.name, file)
