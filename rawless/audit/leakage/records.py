"""The records of `--aux` and `--target`: contents with labels, from a file of texts, CSV or JSON Lines.

Contents are kept in memory, wrapped, and go nowhere else.
"""

import hashlib
import heapq
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rawless.content import Modality
from rawless.errors import UserError
from rawless.events import csv_records
from rawless.events.file_format import check_line_ends, check_text
from rawless.events.lines import LineReader, check_readable
from rawless.events.objects import ObjectLocation, read_file
from rawless.events.payload import decode_payload, payload_form
from rawless.events.source import read_all
from rawless.events.sources.jsonl import JsonlSource, line_limit
from rawless.events.stream import MAX_BYTES
from rawless.privacy import Raw, Reason, Rejected, guarded

_COMPRESSED = {".gz", ".bz2", ".zst", ".lz4"}
_CONTENT = {"text": ("text",), "image": ("file",)}
_Fields = Raw[Mapping[str, object]] | Reason


class Record(NamedTuple):
    """One content, and its values by column."""

    content: Raw[bytes]
    columns: Raw[Mapping[str, str]]


@dataclass(frozen=True)
class Records:
    """The records that were chosen of a file, in an order that says nothing, and what became of the others."""

    chosen: Sequence[Record]
    read: int
    repeated: int
    """Records whose content another record has too."""
    unreadable: Mapping[Reason, int]


def read_records(path: Path, option: str, modality: Modality, max_rows: int, seed: int) -> Records:
    """Read a file, and choose at most `max_rows` distinct contents: those whose keyed digests are smallest.

    The choice and its order depend on the contents and the seed only, and are as good as random. Raises UserError for
    a file that cannot be used.
    """
    if modality == "parts":
        raise UserError(
            f"{option} names contents of one modality, but the encoder reads the parts of an event: use the encoders "
            "of its parts, whose vectors its own contain."
        )
    limit, folder = MAX_BYTES[modality], path.absolute().parent
    counts, reasons, seen = Counter[str](), Counter[Reason](), set[bytes]()

    def distinct() -> Iterator[tuple[bytes, Record]]:
        for fields in _fields(path, option, modality, limit):
            counts["read"] += 1
            record = fields if isinstance(fields, Reason) else guarded(_record, fields, folder, limit)
            if isinstance(record, Reason):
                reasons[record] += 1
                continue
            digest = guarded(_digest, record.content, seed)
            assert isinstance(digest, bytes)  # noqa: S101 - hashing bytes does not fail
            if digest in seen:
                counts["repeated"] += 1
                continue
            seen.add(digest)
            yield digest, record

    chosen = [record for _, record in heapq.nsmallest(max_rows, distinct(), key=lambda pair: pair[0])]
    return Records(chosen, counts["read"], counts["repeated"], reasons)


def _fields(path: Path, option: str, modality: Modality, limit: int) -> Iterator[_Fields]:
    """Return the fields of each record of a file. Raises UserError."""
    check_readable(str(path), option)
    suffixes = [suffix for suffix in path.suffixes if suffix.lower() not in _COMPRESSED]
    kind = suffixes[-1].lower() if suffixes else ""
    if kind == ".csv":
        return _of_csv(path, option, modality)
    if kind == ".jsonl":
        check_text(str(path), option, "JSON Lines")
        reader = JsonlSource(str(path.absolute()), limit)
        return (delivery.fields for delivery in read_all(reader))
    if kind != ".txt":
        raise UserError(f"{option} names {path}, but must be a file of .txt, .csv or .jsonl.")
    if modality != "text":
        raise UserError(
            f"{option} names {path}, a file of texts, but the encoder takes {modality}: name a .csv or .jsonl file "
            "with the column file."
        )
    check_line_ends(str(path), option, check_text(str(path), option, "lines of text"))
    lines = LineReader(path, line_limit(limit), _line)
    return (delivery.fields for shard in lines.shards() for delivery in lines.read(shard))


def _line(line: bytes) -> Raw[Mapping[str, object]]:
    return Raw({"payload": line.rstrip(b"\r\n")})


def _of_csv(path: Path, option: str, modality: Modality) -> Iterator[_Fields]:
    check_line_ends(str(path), option, check_text(str(path), option, "CSV"))
    header = csv_records.header(path, _CONTENT[modality])
    if not {*_CONTENT[modality]} & {*header.columns}:
        raise UserError(
            f"{option} names {path}, which has no column {_CONTENT[modality][0]}: add it to the first line."
        )
    for shard in csv_records.shards(path, header.delimiter):
        for record in csv_records.read(path, shard, header.delimiter):
            if record.number <= header.line:
                continue
            values = record.values
            yield values if isinstance(values, Reason) else guarded(_row, values, header.columns)


def _row(values: Raw[list[str]], columns: Sequence[str]) -> Raw[Mapping[str, object]]:
    if len(values.reveal()) != len(columns):
        raise Rejected(Reason.MALFORMED_EVENT)
    return Raw(dict(zip(columns, values.reveal(), strict=True)))


def _record(fields: Raw[Mapping[str, object]], folder: Path, limit: int) -> Record:
    values = fields.reveal()
    attributes = values.get("attributes")
    labels = {**values, **attributes} if isinstance(attributes, dict) else values
    columns = {name: str(value) for name, value in labels.items() if isinstance(value, str | int) and value != ""}
    name = values.get("file")
    if isinstance(name, str):
        parts = tuple(os.path.normpath(name).split("/"))
        content = read_file(ObjectLocation("file", str(folder), parts), limit)
    else:
        form = payload_form(values)
        content = decode_payload(form, values[form])
    if len(content) > limit:
        raise Rejected(Reason.PAYLOAD_TOO_LARGE)
    return Record(Raw(content), Raw({each: value for each, value in columns.items() if each not in ("text", "file")}))


def _digest(content: Raw[bytes], seed: int) -> bytes:
    return hashlib.blake2b(content.reveal(), digest_size=16, key=str(seed).encode()).digest()
