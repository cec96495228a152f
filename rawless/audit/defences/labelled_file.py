"""Files of contents with labels, for what is learned or measured where raw content may be read.

A line of JSON, or a row of CSV, has the column `text`, or `file` for an image, and columns with labels.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoders.encoder import Encoded, Encoder
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.events.objects import ObjectLocation, read_file
from rawless.events.stream import MAX_BYTES
from rawless.privacy import Raw, Reason, guarded

MAX_LABELS = 1_000
_CONTENT = {"text": "text", "image": "file"}


@dataclass(frozen=True)
class LabelledItems:
    """The items of a file that could be encoded."""

    contents: Sequence[Raw[bytes]]
    vectors: Vector
    """Of shape (n, dimension)."""
    labels: Mapping[str, Sequence[str]]
    """By column, one of each item."""
    rejected: int


def read_labelled(path: Path, columns: Sequence[str], encoder: Encoder) -> LabelledItems:
    """Return the items of a file with the named columns. Raises UserError, whose text contains no content."""
    spec = encoder.spec
    rows = list(_rows(path, spec, columns))
    items = [_content(row, path, spec) for row in rows]
    readable = [(item, row) for item, row in zip(items, rows, strict=True) if isinstance(item, Raw)]
    outcomes = encoder.encode([item for item, _ in readable])
    kept = [
        (item, row, each.vector)
        for (item, row), each in zip(readable, outcomes, strict=True)
        if isinstance(each, Encoded)
    ]
    if not kept:
        raise UserError(f"{path} has no {spec.modality} that {spec.ref} accepts: check the column {_column(spec)}.")
    labels = {name: [str(row.reveal()[name]) for _, row, _ in kept] for name in columns}
    for name, values in labels.items():
        if not 2 <= len(set(values)) <= MAX_LABELS:
            raise UserError(
                f"The column {name} of {path} has {len(set(values)):,} different values, but a label has 2 to "
                f"{MAX_LABELS:,}: name another column."
            )
    return LabelledItems(
        contents=[item for item, _, _ in kept],
        vectors=np.stack([vector for _, _, vector in kept]),
        labels=labels,
        rejected=len(rows) - len(kept),
    )


def _column(spec: EncoderSpec) -> str:
    return _CONTENT[spec.modality]


def _rows(path: Path, spec: EncoderSpec, columns: Sequence[str]) -> Iterator[Raw[Mapping[str, Any]]]:
    needed = [_column(spec), *columns]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            is_csv = path.suffix == ".csv"
            parsed: Iterator[Any] = iter(csv.DictReader(file)) if is_csv else (_object(line) for line in file)
            for number, row in enumerate(parsed, 1):
                for name in needed:
                    if not isinstance(row, dict) or not isinstance(row.get(name), str | int | float):
                        raise UserError(
                            f"{'Row' if is_csv else 'Line'} {number} of {path} has no {name}: each has the column "
                            f"{' and '.join(needed)}."
                        )
                yield Raw(row)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}): check the path.") from None
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path} is not UTF-8 text of one JSON object a line, or CSV: convert it.") from None


def _object(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _content(row: Raw[Mapping[str, Any]], path: Path, spec: EncoderSpec) -> Raw[bytes] | Reason:
    def read() -> Raw[bytes]:
        value = str(row.reveal()[_column(spec)])
        if spec.modality == "text":
            return Raw(value.encode())
        location = ObjectLocation("file", str(path.parent.absolute()), tuple(Path(value).parts))
        return Raw(read_file(location, MAX_BYTES[spec.modality]))

    return guarded(read)
