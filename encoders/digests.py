"""Digests of files: whether a file is the one that a spec names."""

import hashlib
from pathlib import Path

from encoders.spec import EncoderSpec
from rawless.errors import UserError


def digest(path: Path) -> str:
    """Sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(spec: EncoderSpec, name: str, path: Path, where: str) -> None:
    """Raise UserError unless the file at `path` is the spec's `name`; `where` says what a user knows it by.

    A file whose digest the spec leaves open is not looked at.
    """
    expected = spec.files[name]
    if expected is not None and (found := digest(path)) != expected:
        raise UserError(
            f"{where} is not the file that {spec.ref} names: its sha256 is {found[:12]}…, but must be "
            f"{expected[:12]}…. Restore the file, or register it as a new version of the encoder."
        )
