"""Taking parts of a file that may end too early."""

from rawless.privacy import Reason, Rejected


def take(content: bytes, start: int, length: int) -> bytes:
    """`length` bytes from `start`. Raises Rejected when the file ends before."""
    if start + length > len(content):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return content[start : start + length]
