"""Pseudonyms: HMAC-SHA256 of a subject id under a secret key that is never part of a job."""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rawless.errors import UserError
from rawless.files import atomic_write

KEY_VARIABLE = "RAWLESS_PSEUDONYM_KEY"
KEY_BYTES = 32
_SECRET = re.compile(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+")
_MIN_DISTINCT_BYTES = 16
"""A random key has fewer once in 10^16 times."""
_MAKE_ONE = 'Make one with: python3 -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"'


class PseudonymKey:
    """A secret key of at least 256 bits. Its id is derived from it, so the same key has the same id everywhere."""

    __slots__ = ("_secret", "key_id")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.key_id = "k" + self.derive("rawless pseudonym key id").hex()[:15]

    def pseudonym(self, subject_id: str) -> str:
        """Return the subject key, 64 hexadecimal digits."""
        return hmac.new(self._secret, subject_id.encode(), hashlib.sha256).hexdigest()

    def derive(self, purpose: str) -> bytes:
        """Return a secret for another purpose, from which neither the key nor a pseudonym can be computed.

        No subject id has this value as its pseudonym: no UTF-8 text begins with the byte 0xff.
        """
        return hmac.digest(self._secret, b"\xff" + purpose.encode(), "sha256")

    def __repr__(self) -> str:
        return f"PseudonymKey({self.key_id})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a pseudonym key refuses to be pickled: pass its KeySource")


@dataclass(frozen=True)
class KeySource:
    """Where a process loads the key from. A job contains this, never the key.

    The environment variable RAWLESS_PSEUDONYM_KEY (base64) has precedence, then `secret`, the resource name of a
    version in Secret Manager (projects/P/secrets/S/versions/V), then the file at `path`.
    """

    path: str | None = None
    secret: str | None = None

    def load(self) -> PseudonymKey:
        """Load the key. Raises UserError if there is none, or it is too short or not random."""
        if text := os.environ.get(KEY_VARIABLE):
            return _decode(text.encode(errors="replace"), KEY_VARIABLE)
        if self.secret:
            return _decode(_from_secret_manager(self.secret), f"The secret {self.secret}")
        if self.path and Path(self.path).is_file():
            return _decode(Path(self.path).read_bytes(), f"The key file {self.path}")
        no_file = f" (no file {self.path})" if self.path else ""
        raise UserError(
            f"There is no pseudonym key{no_file}: set {KEY_VARIABLE} to 32 random bytes in base64. {_MAKE_ONE}"
        )


def key_in_environment() -> str | None:
    """Return what to call the key in the environment, None if it has none."""
    return f"the environment variable {KEY_VARIABLE}" if os.environ.get(KEY_VARIABLE) else None


def named_key(name: str) -> PseudonymKey:
    """Load the key that a file or a version of a secret contains, whatever the environment says. Raises UserError."""
    if _SECRET.fullmatch(name):
        return _decode(_from_secret_manager(name), f"The secret {name}")
    try:
        return _decode(Path(name).read_bytes(), f"The key file {name}")
    except OSError as error:
        raise UserError(f"The key file {name} cannot be read ({type(error).__name__}).") from None


def create_key_file(path: Path) -> None:
    """Write a new random key to a file that only its owner can read, unless the file exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    with atomic_write(path, keep_existing=True) as file:  # so that two processes agree on one key
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")


def replace_key_file(path: Path, new: Path) -> Path:
    """Put a new key file in the place of another, which is kept beside it, and return the path of the former key."""
    former = path.with_name(f"{path.stem}.{named_key(str(path)).key_id}{path.suffix}")
    former.unlink(missing_ok=True)
    os.link(path, former)
    new.replace(path)
    return former


def _decode(text: bytes, where: str) -> PseudonymKey:
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) < KEY_BYTES:  # never quote the value
        raise UserError(f"{where} must contain at least {KEY_BYTES} random bytes in base64. {_MAKE_ONE}")
    if len(set(secret)) < _MIN_DISTINCT_BYTES:
        raise UserError(
            f"{where} has fewer than {_MIN_DISTINCT_BYTES} distinct bytes, so it is not random. {_MAKE_ONE}"
        )
    return PseudonymKey(secret)


def _from_secret_manager(name: str) -> bytes:
    from google.cloud import secretmanager

    client = secretmanager.SecretManagerServiceClient()
    return bytes(client.access_secret_version(name=name).payload.data)
