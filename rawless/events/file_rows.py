"""The rows of the CSV that `--metadata` names, each of which describes the event of one file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rawless.errors import UserError
from rawless.events.csv_records import Record
from rawless.privacy import Raw, Reason, Rejected, guarded

REQUIRED = ("file", "event_id", "occurred_at")
_FIELDS = {*REQUIRED, "subject_id"}
_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The shard of all files that no row names."""


def check_columns(columns: Sequence[str], where: str, subject: str) -> None:
    """Raise UserError unless the columns of `where` are those of events whose subject is required or not."""
    required = (*REQUIRED, "subject_id") if subject == "required" else REQUIRED
    if missing := [name for name in required if name not in columns]:
        raise UserError(f"--metadata names {where}, but its first line has no column {missing[0]}: add it.")
    if repeated := [name for name, count in Counter(columns).items() if count > 1]:
        name = ascii(repeated[0])[:_LONGEST_QUOTE]
        raise UserError(f"--metadata names {where}, but it has the column {name} twice: rename one.")


def row_values(row: Raw[list[str]], columns: Sequence[str]) -> dict[str, str]:
    """Return the values of a row by column. Raises Rejected if their number is wrong."""
    values = row.reveal()
    if len(values) != len(columns):
        raise Rejected(Reason.MALFORMED_EVENT)
    return dict(zip(columns, values, strict=True))


def event_fields(values: Mapping[str, str], stream: str, payload: object) -> Raw[Mapping[str, object]]:
    """Return the fields of the event of a row with this payload."""
    return Raw(
        {
            "event_id": values["event_id"],
            "occurred_at": values["occurred_at"],
            "subject_id": values.get("subject_id"),
            "stream": stream,
            "attributes": {name: value for name, value in values.items() if name not in _FIELDS and value},
            "payload": payload,
        }
    )


def is_blank(record: Record) -> bool:
    """Return whether a record is a line of white space only, as editors leave them."""
    return isinstance(record.values, Raw) and guarded(_has_no_value, record.values) is True


def _has_no_value(row: Raw[list[str]]) -> bool:
    values = row.reveal()
    return len(values) < 2 and not "".join(values).strip()
