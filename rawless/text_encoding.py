"""The encodings that a file may have where UTF-8 is expected, by its first bytes."""

_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_ZEROS: dict[tuple[bool, ...], str] = {
    (True, True, True, False): "UTF-32BE",
    (False, True, True, True): "UTF-32LE",
    (True, False, True, False): "UTF-16BE",
    (False, True, False, True): "UTF-16LE",
}


def wide_encoding(head: bytes) -> str | None:
    """Return the name of UTF-16 or UTF-32, by the byte order mark or else by where ASCII characters have zeros."""
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    return marked or _ZEROS.get(tuple(byte == 0 for byte in head[:4]))
