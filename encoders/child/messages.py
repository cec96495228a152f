"""What this process and a child write to each other. A child may be taken over: nothing of it is trusted or unpickled.

to a child      options, content        a request, after their sizes and its memory
                GO                      after RESERVE
from a child    READY                   once, when it has started
                RESERVE, pixels         before a large image is decoded
                OUTCOME                 one or more, each of them a reason, or an array of bytes after its shape
                REJECTED, reason        instead of outcomes
                NO_MEMORY               instead of outcomes

A message is few system calls, since each takes as long as copying an image.
"""

import math
import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from rawless.privacy import Reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Array: TypeAlias = npt.NDArray[np.uint8]
"""Of three dimensions."""
Expected: TypeAlias = tuple[int, int, int] | int
"""The shape of an array, or how many bytes it may have."""
READY: Final = 1
RESERVE: Final = 2
OUTCOME: Final = 3
REJECTED: Final = 4
NO_MEMORY: Final = 5
GO: Final = b">"
_REASONS = tuple(Reason)
_REQUEST = struct.Struct("<IQQ")
_HEAD = struct.Struct("<BBIII")
"""The kind of a message, the code of a reason or `_ARRAY`, and a shape or a number of pixels."""
_ARRAY = 255
_PARTS = 8
"""Calls in which the rest of a message must come: each returns less only when a signal or its timeout ends it."""


class Nonsense(Exception):
    """The other side wrote what it may not. Has no text."""


class Closed(Exception):
    """The child had ended before anything of a request was written to it."""


class Head(NamedTuple):
    """The beginning of what a child writes."""

    kind: int
    code: int = _ARRAY
    height: int = 0
    width: int = 0
    depth: int = 0

    @property
    def reason(self) -> Reason:
        """The reason that it names. Raises Nonsense."""
        if self.code >= len(_REASONS):
            raise Nonsense
        return _REASONS[self.code]


def send_request(link: socket.socket, options: bytes, content: bytes, memory: int) -> None:
    """Write a request. Raises Closed."""
    head = _REQUEST.pack(len(options), len(content), memory) + options
    try:
        sent = link.sendmsg([head, content])
    except BrokenPipeError:
        raise Closed from None
    _send_rest(link, head, content, sent)


def receive_sizes(link: socket.socket) -> tuple[int, int, int]:
    """Return the bytes that the next request has of options and of content, and its memory. Raises EOFError."""
    options, content, memory = _REQUEST.unpack(receive(link, _REQUEST.size))
    return options, content, memory


def send_head(link: socket.socket, kind: int, number: int = 0) -> None:
    """Write READY, NO_MEMORY, or RESERVE with a number of pixels."""
    link.sendall(_HEAD.pack(kind, 0, number, 0, 0))


def send_rejection(link: socket.socket, reason: Reason) -> None:
    """Write REJECTED."""
    link.sendall(_HEAD.pack(REJECTED, _REASONS.index(reason), 0, 0, 0))


def send_outcome(link: socket.socket, outcome: Array | Reason) -> None:
    """Write OUTCOME."""
    if isinstance(outcome, Reason):
        link.sendall(_HEAD.pack(OUTCOME, _REASONS.index(outcome), 0, 0, 0))
    else:
        head, pixels = _HEAD.pack(OUTCOME, _ARRAY, *outcome.shape), np.ascontiguousarray(outcome).data.cast("B")
        _send_rest(link, head, pixels, link.sendmsg([head, pixels]))


def receive_head(link: socket.socket) -> Head:
    """Return the beginning of the next message of a child. Raises EOFError."""
    return Head(*_HEAD.unpack(receive(link, _HEAD.size)))


def receive_outcomes(link: socket.socket, head: Head, expected: Sequence[Expected]) -> list[Array | Reason]:
    """Return outcomes, after the head of the first. Raises Nonsense unless they are as expected, or reasons."""
    outcomes = [_receive_outcome(link, head, expected[0])]
    outcomes += [_receive_outcome(link, receive_head(link), each) for each in expected[1:]]
    return outcomes


def _receive_outcome(link: socket.socket, head: Head, expected: Expected) -> Array | Reason:
    if head.kind != OUTCOME:
        raise Nonsense
    if head.code != _ARRAY:
        return head.reason
    shape = head.height, head.width, head.depth
    is_expected = shape == expected if isinstance(expected, tuple) else 0 < math.prod(shape) <= expected
    if not is_expected:
        raise Nonsense
    array = np.empty(shape, np.uint8)
    _fill(link, array.data.cast("B"))
    return array


def receive(link: socket.socket, size: int) -> bytes:
    """Return so many bytes. Raises EOFError if the other side has ended."""
    part = link.recv(size, socket.MSG_WAITALL)
    if len(part) == size:
        return part
    if not part:
        raise EOFError
    whole = bytearray(size)
    whole[: len(part)] = part
    _fill(link, memoryview(whole)[len(part) :])
    return bytes(whole)


def _fill(link: socket.socket, view: memoryview) -> None:
    for _ in range(_PARTS):
        count = link.recv_into(view, 0, socket.MSG_WAITALL)
        if count == len(view):
            return
        if count == 0:
            raise EOFError
        view = view[count:]
    raise Nonsense


def _send_rest(link: socket.socket, head: bytes, rest: "ReadableBuffer", sent: int) -> None:
    """Write what is left of both after the first bytes, usually nothing."""
    if sent < len(head):
        link.sendall(head[sent:])
    if left := memoryview(rest)[max(0, sent - len(head)) :]:
        link.sendall(left)
