"""Reading parts of a file that may be truncated."""

from rawless.privacy import Reason, Rejected


def read_exactly(content: bytes, start: int, length: int) -> bytes:
    """Return `length` bytes from `start`. Raises Rejected when the file ends before."""
    if start + length > len(content):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return content[start : start + length]
