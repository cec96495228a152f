"""The spellings in which content is searched for. docs/demo.md lists those that cannot be found."""

import base64
import binascii
import html
import json
from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase
from urllib.parse import quote_from_bytes

FRAGMENT = 24
"""Length of the fragments that are searched for, in characters; in bytes, if the content is not text."""
SHORTEST = 8
"""Length in bytes below which a fragment is not searched for, because it would occur everywhere."""
FEWEST_KINDS = 6
"""Different bytes below which a fragment is not searched for."""
_SHORTEST_FOLDED = 10
_FEWEST_DIGITS = 16
"""Digits below which a folded number is not searched for, because vectors in text form contain many."""
_FEWEST_KINDS_OF_DIGITS = 4
_KEPT = 0.8
"""The part of a fragment's bytes, without spaces, that must be left when it is folded."""
_LOWER = bytes.maketrans(ascii_uppercase.encode(), ascii_lowercase.encode())
_DROPPED = bytes(byte for byte in range(128) if not chr(byte).isalnum())
_ESCAPED_SPACES = (rb"\n", rb"\r", rb"\t")


def fold(data: bytes) -> bytes:
    """Return data without ASCII characters other than letters and digits, and with these in lower case.

    What differs only in white space, punctuation, case, or zero bytes between characters is equal afterwards.
    """
    for escaped in _ESCAPED_SPACES:
        data = data.replace(escaped, b"")
    return data.translate(_LOWER, _DROPPED)


def is_searchable(folded: bytes, fragment: bytes) -> bool:
    """Return whether a folded spelling says so much of its fragment, and is so varied, that it is no chance.

    A fragment that is mostly punctuation, such as a formula, is searched for as it is instead.
    """
    digits = folded.isdigit()
    kept = len(folded) / max(1, len(fragment.translate(None, b"\0 \n\r\t")))
    return (
        len(folded) >= (_FEWEST_DIGITS if digits else _SHORTEST_FOLDED)
        and len(set(folded)) >= (_FEWEST_KINDS_OF_DIGITS if digits else FEWEST_KINDS)
        and kept >= _KEPT
    )


def fragments(content: bytes) -> Iterator[bytes]:
    """Yield start, middle and end of a content, unless so short or uniform that they would occur by chance."""
    try:
        whole: str | bytes = content.decode().strip()
    except UnicodeDecodeError:
        whole = content
    starts = {0, max(0, (len(whole) - FRAGMENT) // 2), max(0, len(whole) - FRAGMENT)}
    for start in sorted(starts):
        part = whole[start : start + FRAGMENT]
        fragment = part.strip().encode() if isinstance(part, str) else part
        if len(fragment) >= SHORTEST and len(set(fragment)) >= FEWEST_KINDS:
            yield fragment


def spellings(fragment: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the names of spellings and the bytes of each; those that differ only in what `fold` removes come once."""
    yield "as it is", fragment
    yield "hex", fragment.hex().encode()
    yield "hex with prefixes", "0x".join(f"{byte:02x}" for byte in fragment).encode()
    for shift, skipped in ((0, 0), (1, 2), (2, 3)):
        # Base64 of the fragment inside a longer content: three alignments, without the ends that depend on neighbours.
        yield "base64", base64.b64encode(bytes(shift) + fragment)[skipped : (shift + len(fragment)) * 8 // 6]
    for shift, skipped in ((0, 0), (1, 2), (2, 4), (3, 5), (4, 7)):
        start = fragment[:15]  # enough, and encoded faster
        yield "base32", base64.b32encode(bytes(shift) + start)[skipped : (shift + len(start)) * 8 // 5]
    yield "numbers", "".join(map(str, fragment)).encode()
    yield "decimal numbers", "0".join(map(str, fragment)).encode()
    yield "repr", repr(fragment)[2:-1].encode()
    yield "percent", quote_from_bytes(fragment).encode()
    try:
        text = fragment.decode()
    except UnicodeDecodeError:
        return
    yield "JSON", json.dumps(text)[1:-1].encode()
    yield "HTML", html.escape(text).encode()
    yield "quoted-printable", binascii.b2a_qp(fragment)
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        yield encoding.upper(), text.encode(encoding)
    if not text.isascii():
        yield "numbers of characters", "".join(str(ord(character)) for character in text).encode()


def spelled(content: bytes) -> dict[str, bytes]:
    """Return a content in every spelling that `Search` must find, by the spelling's name."""
    text = content.decode(errors="replace")
    encoded = base64.b64encode(content).decode()
    return {
        "as it is": b"... " + content + b" ...",
        "hex": content.hex().encode(),
        "hex in pairs": content.hex(" ").upper().encode(),
        "base64": encoded.encode(),
        "base64 in a longer one": base64.b64encode(b"{" + content + b"}"),
        "base64 in short lines": "\n".join(encoded[at : at + 10] for at in range(0, len(encoded), 10)).encode(),
        "base64url": base64.urlsafe_b64encode(content),
        "base32": base64.b32encode(content),
        "base32 in a longer one": base64.b32encode(b"{" + content + b"}"),
        "repr": repr(content).encode(),
        "percent": quote_from_bytes(content).encode(),
        "JSON": json.dumps(text).encode(),
        "JSON in JSON": json.dumps(json.dumps(text)).encode(),
        "HTML": html.escape(text).encode(),
        "quoted-printable": binascii.b2a_qp(content),
        "UTF-16-LE": text.encode("utf-16-le"),
        "UTF-16-BE": text.encode("utf-16-be"),
        "UTF-32-LE": text.encode("utf-32-le"),
        "UTF-32-BE": text.encode("utf-32-be"),
        "hex numbers": ", ".join(f"0x{byte:02x}" for byte in content).encode(),
        "numbers": repr(list(content)).encode(),
        "numbers on separate lines": json.dumps(list(content), indent=1).encode(),
        "decimal numbers": json.dumps([float(byte) for byte in content]).encode(),
        "words on separate lines": "\n".join(text.split()).encode(),
        "words on separate lines, as JSON": json.dumps("\n".join(text.split()), ensure_ascii=False).encode(),
        "a list of words": json.dumps(text.split(), ensure_ascii=False).encode(),
        "capitals": content.upper(),
    }
