"""Comparing the vectors of two encoders on the same content: whether a change of a spec moves them, and how far.

It runs where raw content may be read and keeps it in memory only; only counts and differences are returned.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from encoders.encoder import Encoded, Encoder
from encoders.spec import EncoderSpec, Vector
from rawless.errors import Unavailable, UserError
from rawless.events.find_files import find_files
from rawless.events.objects import ObjectLocation, read_file
from rawless.events.payload import decode_payload, payload_form
from rawless.events.source import read_all
from rawless.events.sources.jsonl import JsonlSource
from rawless.events.stream import MAX_BYTES
from rawless.privacy import Raw, Reason, Rejected, guarded

_CHUNK = 256
Item = Raw[bytes] | Reason


@dataclass(frozen=True)
class Parity:
    """How far the vectors of two encoders are apart."""

    items: int
    compared: int
    unreadable: int
    """Items whose content could not be read from the source."""
    rejected_by_both: int
    rejected_by_first: int
    """Items that only the first encoder rejects."""
    rejected_by_second: int
    smallest_cosine: float
    median_cosine: float
    largest_difference: float
    """Of any component."""


def check_comparable(first: EncoderSpec, second: EncoderSpec) -> None:
    """Raise UserError unless both encoders take the same content and produce vectors of one size."""
    for name in ("modality", "dimension"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            raise UserError(
                f"{first.ref} has the {name} {one}, but {second.ref} has {other}: name two encoders of one {name}."
            )


def read_items(source: str, spec: EncoderSpec) -> Iterator[Item]:
    """Yield the content of every file of `files:FOLDER`, or line of `jsonl:FILE`. Raises UserError."""
    kind, _, location = source.partition(":")
    if spec.modality == "parts":
        raise UserError(
            f"{spec.ref} reads the parts of an event, which --source does not have: compare the encoders of its parts."
        )
    limit = MAX_BYTES[spec.modality]
    if kind == "jsonl" and location:
        lines = JsonlSource(str(Path(location).absolute()), limit)
        lines.check()
        return (_payload(delivery.fields, limit) for delivery in read_all(lines))
    if kind != "files" or not location:
        raise UserError(f"--source is {source!r}, but must be files:FOLDER or jsonl:FILE.")
    if not Path(location).is_dir():
        raise UserError(f"--source names files:{location}, but that is not a folder: name the folder of the files.")
    try:
        names = sorted(find_files(location, ("**", "*")))
    except OSError as error:
        kind = type(error).__name__
        raise Unavailable(f"A folder below {location} cannot be listed ({kind}); run again when it can.") from None
    return (_file(location, name, limit) for name in names)


def compare(first: Encoder, second: Encoder, items: Iterator[Item]) -> Parity:
    """Return how far the vectors of two encoders are apart. Raises UserError if no item has two vectors."""
    counts = Counter[str]()
    cosines: list[float] = []
    largest = 0.0
    while chunk := list(islice(items, _CHUNK)):
        readable = [item for item in chunk if isinstance(item, Raw)]
        counts["items"] += len(chunk)
        counts["unreadable"] += len(chunk) - len(readable)
        for one, other in zip(first.encode(readable), second.encode(readable), strict=True):
            if isinstance(one, Encoded) and isinstance(other, Encoded):
                cosines.append(_cosine(one.vector, other.vector))
                largest = max(largest, float(np.abs(one.vector - other.vector).max()))
            else:
                counts["second" if isinstance(one, Encoded) else "first" if isinstance(other, Encoded) else "both"] += 1
    if not cosines:
        raise UserError("--source has no item that both encoders accept, so there is nothing to compare: name another.")
    return Parity(
        items=counts["items"],
        compared=len(cosines),
        unreadable=counts["unreadable"],
        rejected_by_both=counts["both"],
        rejected_by_first=counts["first"],
        rejected_by_second=counts["second"],
        smallest_cosine=min(cosines),
        median_cosine=float(np.median(cosines)),
        largest_difference=largest,
    )


def _payload(fields: Raw[Mapping[str, object]] | Reason, limit: int) -> Item:
    def read() -> bytes:
        assert isinstance(fields, Raw)  # noqa: S101 - checked below
        form = payload_form(fields.reveal())
        return decode_payload(form, fields.reveal()[form])

    return fields if isinstance(fields, Reason) else guarded(_within, read, limit)


def _file(folder: str, name: str, limit: int) -> Item:
    location = ObjectLocation("file", folder, tuple(name.split("/")))
    return guarded(_within, lambda: read_file(location, limit), limit)


def _within(read: Callable[[], bytes], limit: int) -> Raw[bytes]:
    """Return what `read` returns. Raises Rejected if it is larger than the limit, as for a stream."""
    if len(content := read()) > limit:
        raise Rejected(Reason.PAYLOAD_TOO_LARGE)
    return Raw(content)


def _cosine(one: Vector, other: Vector) -> float:
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else float(np.array_equal(a, b))
