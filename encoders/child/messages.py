"""What this process and a child write to each other. A child may be taken over: nothing of it is trusted or unpickled.

to a child      options, content        a request, after their sizes and its memory
                GO                      after RESERVE
from a child    READY                   once, when it has started
                RESERVE, pixels         before a large image is decoded
                DONE, outcomes          each of them a reason, or an array of bytes with its shape
                REJECTED, reason        instead of DONE
                NO_MEMORY               instead of DONE
"""

import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from rawless.privacy import Reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Array: TypeAlias = npt.NDArray[np.uint8]
"""Of three dimensions."""
Expected: TypeAlias = tuple[int, int, int] | int
"""The shape of an array, or how many bytes it may have."""
READY: Final = b"+"
GO: Final = b">"
RESERVE: Final = b"?"
DONE: Final = b"="
NO_MEMORY: Final = b"m"
REJECTED: Final = b"!"
_REASONS = tuple(Reason)
_REQUEST = struct.Struct("<IQQ")
_NUMBER = struct.Struct("<Q")
_CODE = struct.Struct("<B")
_OUTCOME = struct.Struct("<BIII")
"""The code of a reason, or that of an array and its shape."""
_ARRAY = 255


class Nonsense(Exception):
    """The other side wrote what it may not. Has no text."""


class Link(Protocol):
    """A socket, or what is used of one."""

    def sendall(self, data: "ReadableBuffer", /) -> None:
        """Write all of the data."""
        ...

    def recv_into(self, buffer: memoryview, /) -> int:
        """Read into a buffer, and return how many bytes there were, 0 at the end."""
        ...


def send_request(link: Link, options: bytes, content: bytes, memory: int) -> None:
    """Write a request."""
    link.sendall(_REQUEST.pack(len(options), len(content), memory) + options)
    link.sendall(content)


def receive_sizes(link: Link) -> tuple[int, int, int]:
    """Return the bytes that the next request has of options and of content, and its memory. Raises EOFError."""
    options, content, memory = _REQUEST.unpack(receive(link, _REQUEST.size))
    return options, content, memory


def send_number(link: Link, kind: bytes, number: int) -> None:
    """Write a kind of message with a number."""
    link.sendall(kind + _NUMBER.pack(number))


def receive_number(link: Link) -> int:
    """Return the number that follows the kind of a message."""
    (number,) = _NUMBER.unpack(receive(link, _NUMBER.size))
    return int(number)


def send_rejection(link: Link, reason: Reason) -> None:
    """Write REJECTED."""
    link.sendall(REJECTED + _CODE.pack(_REASONS.index(reason)))


def receive_reason(link: Link) -> Reason:
    """Return the reason that follows REJECTED."""
    return _reason(*_CODE.unpack(receive(link, _CODE.size)))


def send_outcomes(link: Link, outcomes: Sequence[Array | Reason]) -> None:
    """Write DONE with outcomes."""
    link.sendall(DONE)
    for outcome in outcomes:
        if isinstance(outcome, Reason):
            link.sendall(_OUTCOME.pack(_REASONS.index(outcome), 0, 0, 0))
        else:
            link.sendall(_OUTCOME.pack(_ARRAY, *outcome.shape))
            link.sendall(np.ascontiguousarray(outcome).data.cast("B"))


def receive_outcomes(link: Link, expected: Sequence[Expected]) -> list[Array | Reason]:
    """Return the outcomes that follow DONE. Raises Nonsense unless they are as expected, or reasons."""
    return [_receive_outcome(link, each) for each in expected]


def _receive_outcome(link: Link, expected: Expected) -> Array | Reason:
    code, *shape = _OUTCOME.unpack(receive(link, _OUTCOME.size))
    if code != _ARRAY:
        return _reason(code)
    is_expected = tuple(shape) == expected if isinstance(expected, tuple) else 0 < math.prod(shape) <= expected
    if not is_expected:
        raise Nonsense
    array = np.empty(shape, np.uint8)
    _fill(link, array.data.cast("B"))
    return array


def _reason(code: int) -> Reason:
    if code >= len(_REASONS):
        raise Nonsense
    return _REASONS[code]


def receive(link: Link, size: int) -> bytearray:
    """Return so many bytes. Raises EOFError if the other side has ended."""
    whole = bytearray(size)
    _fill(link, memoryview(whole))
    return whole


def _fill(link: Link, view: memoryview) -> None:
    while view:
        count = link.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
