"""What the container image contains, as far as its lock file says: packages, the CUDA runtime, sizes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name

from rawless.errors import UserError

MACHINE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.14",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""What the image is for, as the Dockerfile says; a lock file lists packages of other machines, too."""
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;\\]+)(?: ; (?P<marker>[^\\]+?))? *\\?$")
_HASH = re.compile(r"^ +--hash=sha256:[0-9a-f]{64}( \\)?$")
_CUDA = re.compile(r"nvidia-cuda-runtime(-cu\d+)?")
_COMMENT = re.compile(r"^\s*(#.*)?$")


@dataclass(frozen=True)
class Package:
    """A package of the image."""

    name: str
    version: str
    size: int | None
    """Bytes of its files, without modules that are compiled on installation. None if this version is not installed
    here, where that is looked up."""


@dataclass(frozen=True)
class ImageContents:
    """The packages of an image in the order of their names, and what follows from them."""

    packages: tuple[Package, ...]

    def version(self, name: str) -> str | None:
        """Return the version of a package; None if the image does not have it."""
        return self._by_name.get(canonicalize_name(name))

    @property
    def cuda(self) -> str | None:
        """The version of the CUDA runtime that comes with torch, as in 13.0; None for a torch without CUDA.

        The driver of a worker has to support it.
        """
        versions = [each.version for each in self.packages if _CUDA.fullmatch(each.name)]
        return ".".join(versions[0].split(".")[:2]) if versions else None

    @property
    def size(self) -> int:
        """The sum of the sizes that are known, in bytes; base image and weights are not part of it."""
        return sum(each.size or 0 for each in self.packages)

    @property
    def of_unknown_size(self) -> tuple[str, ...]:
        """The names of the packages that `size` leaves out."""
        return tuple(each.name for each in self.packages if each.size is None)

    @cached_property
    def _by_name(self) -> dict[str, str]:
        return {each.name: each.version for each in self.packages}


def image_contents(lock: Path) -> ImageContents:
    """Return what an image contains whose packages are those of a lock file, such as `requirements.worker.lock`.

    Sizes are those that the metadata of the same versions here records. Raises UserError for a file that cannot be
    read, or is no lock file with a hash for each package.
    """
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The lock file {lock} cannot be read ({type(error).__name__}): correct its name.") from None
    pins = [(name, version) for name, version, marker in _pins(lock, lines) if _is_for_image(lock, marker)]
    if not pins:
        raise UserError(f"The lock file {lock} pins no package: name the one that the image installs.")
    return ImageContents(tuple(Package(name, version, _size(name, version)) for name, version in sorted(pins)))


def _pins(lock: Path, lines: list[str]) -> Iterator[tuple[str, str, str | None]]:
    """Yield name, version and marker of each package that has a hash."""
    for number, line in enumerate(lines, start=1):
        if _HASH.match(line) or _COMMENT.match(line):
            continue
        pin, following = _PIN.match(line), lines[number] if number < len(lines) else ""
        if pin is None or not _HASH.match(following):
            raise UserError(
                f"Line {number} of the lock file {lock} is not NAME==VERSION with a hash: write it with `make lock`."
            )
        yield canonicalize_name(pin["name"]), pin["version"], pin["marker"]


def _is_for_image(lock: Path, marker: str | None) -> bool:
    try:
        return marker is None or Marker(marker).evaluate(MACHINE)
    except InvalidMarker:
        raise UserError(f"The lock file {lock} has a condition that is not valid: write it with `make lock`.") from None


def _size(name: str, version: str) -> int | None:
    """Return the bytes of the files of a package as its metadata records them; None if that is not known here."""
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return None
    if installed.version != version or installed.files is None:
        return None
    return sum(file.size or 0 for file in installed.files)
