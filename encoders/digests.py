"""Computing and checking the digests of an encoder's files."""

import hashlib
from pathlib import Path

from encoders.spec import EncoderSpec
from rawless.errors import UserError


def digest(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(spec: EncoderSpec, name: str, path: Path, where: str) -> None:
    """Raise UserError unless the file at `path` has the digest of the spec's file `name`.

    A file without a digest in the spec is not read. `where` is the location that the message names.
    """
    expected = spec.files[name]
    if expected is not None and (actual := digest(path)) != expected:
        raise UserError(
            f"{where} is not the file that {spec.ref} names: its sha256 is {actual[:12]}…, but must be "
            f"{expected[:12]}…. Restore the file, or register it as a new version of the encoder."
        )
