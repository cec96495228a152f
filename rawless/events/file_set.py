"""The files that a pattern names, on this machine or in a bucket.

A file is known by its position among them, from 1 in the order of their names, and by its version, which changes with
its content. Both may travel between the steps of a job. Its name is content and does not: each worker lists the files.
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from rawless.errors import Unavailable, UserError
from rawless.events.cloud_objects import SCHEME, CloudObject, list_objects, open_object, parse_pattern
from rawless.events.find_files import find_files, has_wildcard
from rawless.loopback import is_storage_emulated

_Found = tuple[str, int, CloudObject | str]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One version of a file, as it was listed."""

    position: int
    version: str
    size: int
    where: str
    """What errors call it: the pattern, and its position where the pattern has wildcards."""
    stored: CloudObject | str
    """The object, or the path of a local file."""

    @property
    def name(self) -> str:
        """Its name, which is content."""
        return self.stored.name if isinstance(self.stored, CloudObject) else self.stored

    def open(self, start: int = 0, expected: int | None = None) -> BinaryIO:
        """Open it for reading at `start`, from where `expected` bytes will be read if that is known.

        Opening or reading raises Unavailable if it was changed or deleted since it was listed.
        """
        if isinstance(self.stored, CloudObject):
            return open_object(self.stored, self.where, start, expected)
        try:
            file = Path(self.stored).open("rb")  # noqa: SIM115 - the caller closes it
        except OSError as error:
            kind = type(error).__name__
        else:
            if _version(os.fstat(file.fileno())) == self.version:
                file.seek(start)
                return file
            file.close()
            raise Unavailable(f"{self.where} was changed after it was listed; run again.")
        raise Unavailable(f"{self.where} cannot be opened ({kind}); run again when it can.")


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files that `gs://BUCKET/PATTERN` or the absolute path of a local pattern names."""

    pattern: str

    def files(self) -> Iterator[ListedFile]:
        """List the files, in the order of their names.

        Raises UserError if the bucket may not be listed, and Unavailable if its objects or a folder cannot be.
        """
        found: Iterator[_Found] = self._objects() if self.is_in_cloud else self._local_files()
        for position, (version, size, stored) in enumerate(found, start=1):
            where = f"file {position} of {self.pattern}" if has_wildcard(self.pattern) else self.pattern
            yield ListedFile(position, version, size, where, stored)

    def find(self, position: int, version: str) -> ListedFile:
        """Return the file with a version that was at this position when another process listed the files.

        Raises Unavailable if it was changed or deleted since.
        """
        return _listing(self).find(position, version)

    def first(self, option: str) -> ListedFile:
        """Return the first file that is not empty, or else the first. Raises UserError if there is none."""
        first = None
        for file in self.files():
            if file.size:
                return file
            first = first or file
        if first is None:
            raise UserError(f"{option} names {self.pattern}, but that matches no file: check the pattern.")
        return first

    @property
    def is_in_cloud(self) -> bool:
        """Whether the files are objects in a bucket."""
        return self.pattern.startswith(SCHEME)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        if not self.is_in_cloud:
            return f"files on this machine ({self.pattern})"
        return f"objects of an emulator on this machine ({self.pattern})" if is_storage_emulated() else None

    def _objects(self) -> Iterator[_Found]:
        for found in list_objects(parse_pattern(self.pattern, "--source"), self.pattern):
            yield str(found.generation), found.size, found

    def _local_files(self) -> Iterator[_Found]:
        root, parts = split_pattern(self.pattern)
        if not Path(root).is_dir():
            return
        try:
            for name in sorted({*find_files(root, parts)}, key=os.fsencode):
                path = os.path.join(root, name)  # noqa: PTH118 - names in any encoding
                status = os.stat(path)  # noqa: PTH116
                yield _version(status), status.st_size, path
            return
        except OSError as error:
            kind = type(error).__name__
        raise Unavailable(f"The files of {self.pattern} cannot be listed ({kind}); run again when they can.")


class _Listing:
    """The files of a set as this process last listed them."""

    def __init__(self, files: FileSet) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._listed: list[ListedFile] = []
        self._by_version: dict[str, ListedFile | None] = {}

    def find(self, position: int, version: str) -> ListedFile:
        with self._lock:
            found = self._lookup(position, version)
            if found is None:
                self._listed = list(self._files.files())
                self._by_version = {}
                found = self._lookup(position, version)
        if found is None:
            raise Unavailable(f"A file of {self._files.pattern} was changed or deleted after it was listed; run again.")
        return found

    def _lookup(self, position: int, version: str) -> ListedFile | None:
        if position <= len(self._listed) and self._listed[position - 1].version == version:
            return self._listed[position - 1]
        if not self._by_version:  # files before it came or went
            for file in self._listed:
                self._by_version[file.version] = None if file.version in self._by_version else file
        return self._by_version.get(version)


@lru_cache(maxsize=4)
def _listing(files: FileSet) -> _Listing:
    return _Listing(files)


def split_pattern(pattern: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder that contains the first wildcard of a local pattern, and the parts of the pattern below it."""
    parts = Path(pattern).parts
    plain = next((i for i, part in enumerate(parts) if has_wildcard(part)), len(parts) - 1)
    return str(Path(*parts[:plain])), parts[plain:]


def _version(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
