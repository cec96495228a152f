"""What is known of a column: counts, forms, and its values if they are few, short and plain enough to be in a file."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rawless.datasets.spec import check_constant
from rawless.errors import UserError
from rawless.events.columns import is_text
from rawless.privacy import Raw, Reason, guarded, subject_ids
from rawless.scaffold.class_names import class_names
from rawless.scaffold.id_pattern import id_pattern
from rawless.scaffold.rows import SUFFIXES, SourceRows
from rawless.warehouse import column_types

MAX_VALUES, MIN_ROWS_OF_VALUE = 20, 5
"""A column is proposed as an attribute if it has at most so many values, each in at least so many rows: a value that
few events have could identify them. So could a class, so a label is proposed by the same number of rows."""
_MIN_ROWS_OF_CLASS = 2
"""The rows that a class must have on average."""
_MIN_MEAN_LENGTH = 15
"""Texts that are shorter on average, and have no blanks, are no content."""
_IMAGES = re.compile(rf"(?i:{'|'.join(map(re.escape, SUFFIXES))})$|^(iVBORw0KGgo|/9j/|UklGR|R0lGOD|Qk[0-3])")


@dataclass(frozen=True)
class Facts:
    """What is known of a column. Nothing in it is content."""

    name: str
    type: str
    """As BigQuery would name it, by the form of its values; empty for lists, records and bytes."""
    rows: int
    missing: int
    distinct: int
    is_free_text: bool
    """Whether its values look like sentences."""
    are_images: bool
    """Whether its values end like names of images, or begin like images in Base64."""
    id_pattern: str | None
    """A pattern that all of its values match as ids of events; None if they cannot be ids."""
    are_subjects: bool
    """Whether its values can be ids of subjects."""
    values: tuple[str, ...]
    """All of its values, if they may be listed in a stream file; else none."""
    fewest: int
    """The rows of the value that has the fewest."""
    classes: tuple[str, ...]
    """The names that its values have as classes; none if they are texts, too few, too many or most of them in one row
    only, or if two have the same name."""

    @property
    def is_unique(self) -> bool:
        """Return whether each row has a value of its own."""
        return self.distinct == self.rows

    @property
    def has_rare_values(self) -> bool:
        """Return whether a value has so few rows that it could identify them."""
        return self.fewest < MIN_ROWS_OF_VALUE

    @property
    def is_time(self) -> bool:
        """Return whether its values are times or dates."""
        return self.type in ("TIMESTAMP", "DATETIME", "DATE")


def facts_of(rows: SourceRows) -> dict[str, Facts]:
    """Return the facts of each column, by name."""
    found = {}
    for name in rows.names:
        facts = guarded(_facts, name, rows.table)
        if isinstance(facts, Reason):
            raise UserError(f"The column {name} of {rows.path} cannot be looked at: leave it out of the file.")
        found[name] = facts
    return found


def texts_of(table: pa.Table, name: str) -> list[str | None]:
    """Return the values of a column as texts, None where one is missing or blank. Call it inside `guarded` only."""
    column = table.column(name)
    plain = column if is_text(column.type) else column.cast(pa.string())
    return [text if text is not None and text.strip() else None for text in plain.to_pylist()]


def _facts(name: str, wrapped: Raw[pa.Table]) -> Facts:
    column = wrapped.reveal().column(name)
    kind = _type(name, column)
    if not kind:
        return Facts(name, "", len(column), column.null_count, 0, False, False, None, False, (), 0, ())
    values = [value for value in texts_of(wrapped.reveal(), name) if value is not None]
    counts = Counter(values)
    is_free_text = kind == "STRING" and _is_free_text(values)
    return Facts(
        name=name,
        type=kind,
        rows=len(column),
        missing=len(column) - len(values),
        distinct=len(counts),
        is_free_text=is_free_text,
        are_images=bool(values) and all(_IMAGES.search(value) for value in values),
        id_pattern=id_pattern(list(counts)),
        are_subjects=bool(values) and all(subject_ids.normal_form(value) for value in counts),
        values=_storable(counts),
        fewest=min(counts.values(), default=0),
        classes=() if is_free_text else _classes(kind, counts),
    )


def _classes(kind: str, counts: Counter[str]) -> tuple[str, ...]:
    """Return the names of classes. Values that most rows have alone, as texts and names of files, are none."""
    if kind not in ("STRING", "INT64", "BOOL") or sum(counts.values()) < _MIN_ROWS_OF_CLASS * len(counts):
        return ()
    return tuple(sorted(class_names(counts).values()))


def _type(name: str, column: Any) -> str:
    try:
        found = column_types.infer(name, column)
    except UserError:  # of a type that BigQuery's tables have not
        return ""
    return "" if found.repeated else found.name


def _is_free_text(values: Sequence[str]) -> bool:
    with_blanks = sum(" " in value.strip() for value in values)
    mean = sum(map(len, values)) / max(1, len(values))
    return mean >= _MIN_MEAN_LENGTH and with_blanks > len(values) / 2


def _storable(counts: Counter[str]) -> tuple[str, ...]:
    if not 2 <= len(counts) <= MAX_VALUES or min(counts.values()) < MIN_ROWS_OF_VALUE:
        return ()
    return tuple(sorted(counts)) if all(_is_plain(value) for value in counts) else ()


def _is_plain(value: str) -> bool:
    try:
        check_constant(value)
    except ValueError:
        return False
    return True


def images_among(rows: SourceRows, name: str) -> tuple[str, ...]:
    """Return the formats of the images that a column names, as a stream file lists them, sorted."""
    found = guarded(_formats, rows.table, name)
    return () if isinstance(found, Reason) else found


def _formats(wrapped: Raw[pa.Table], name: str) -> tuple[str, ...]:
    endings = pc.utf8_lower(pc.unique(wrapped.reveal().column(name))).to_pylist()
    return tuple(sorted({kind for text in endings if text for end, kind in SUFFIXES.items() if text.endswith(end)}))


def tells(rows: SourceRows, attribute: str, label: str) -> bool:
    """Return whether the value of one column alone determines that of another."""

    def pairs() -> frozenset[tuple[str | None, str | None]]:
        table = rows.table.reveal()
        return frozenset(zip(texts_of(table, attribute), texts_of(table, label), strict=True))

    found = guarded(pairs)
    return isinstance(found, frozenset) and len({value for value, _ in found}) == len(found)
