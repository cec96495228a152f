"""Measuring the drift of a stream's encoder in windows, and recording it in `drift_v1`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rawless.errors import UserError
from rawless.lifecycle.drift.compare import MIN_ROWS, Finding, Reference
from rawless.lifecycle.drift.windows import Times, divide, read_windows
from rawless.similar_names import did_you_mean
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters, structs
from rawless.warehouse.tables import FOLDER, START_OF_EVENTS

DAY = timedelta(days=1)
LONGEST_REFERENCE = timedelta(days=28)
"""Of a reference that nobody chose: four whole weeks."""
_STREAMS = FOLDER / "embedding_event_v1" / "streams.sql"
_RECORD, _MEASURED = (FOLDER / "drift_v1" / f"{name}.sql" for name in ("record", "measured"))
_FIELDS = {
    "metric": "STRING",
    "start_at": "TIMESTAMP",
    "end_at": "TIMESTAMP",
    "row_count": "INT64",
    "value": "FLOAT64",
    "threshold": "FLOAT64",
}


@dataclass(frozen=True)
class EncoderRows:
    """An encoder of a stream, with the times of its first and last event."""

    encoder: str
    fingerprint: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class MeasuredWindow:
    """The findings of one window."""

    start_at: datetime
    end_at: datetime
    row_count: int
    rejections: int
    findings: tuple[Finding, ...]

    @property
    def note(self) -> str | None:
        """Return what was not measured and why, None if everything was."""
        if not self.row_count:
            return "no rows"
        if self.row_count < MIN_ROWS:
            return f"{self.row_count} rows, too few to compare their embeddings (at least {MIN_ROWS})"
        return None


@dataclass(frozen=True)
class Drift:
    """The drift of one encoder of a stream."""

    stream: str
    encoder: str
    fingerprint: str
    reference: Times
    reference_windows: int
    reference_rows: int
    windows: tuple[MeasuredWindow, ...]

    @property
    def alarms(self) -> list[Finding]:
        """The findings above their thresholds."""
        return [finding for window in self.windows for finding in window.findings if finding.is_alarm]


def encoders_of(warehouse: Warehouse, stream: str) -> list[EncoderRows]:
    """Return the encoders that have rows of a stream. Raises UserError if there are none."""
    rows = warehouse.query(warehouse.render(_STREAMS), parameters({"start_of_events": START_OF_EVENTS}))
    found = [
        EncoderRows(
            f"{row['encoder']}@{row['encoder_version']}", row["encoder_fingerprint"], row["first_at"], row["last_at"]
        )
        for row in rows
        if row["stream"] == stream
    ]
    if not found:
        near = did_you_mean(stream, {row["stream"] for row in rows})
        raise UserError(
            f"The warehouse has no embeddings of the stream {stream}{near}: check its name, or ingest first."
        )
    return found


def default_reference(rows: EncoderRows, before: datetime, length: timedelta) -> Times:
    """Return the first weeks of an encoder, at most four, that end before a time. Raises UserError if there is none.

    It stays the same from day to day, so a slow change adds up instead of moving the reference with it.
    """
    start = rows.first_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    weeks = min(LONGEST_REFERENCE, before - start) // (7 * DAY)
    end = start + max(1, weeks) * 7 * DAY
    if end > before or length > end - start:
        raise UserError(
            f"{rows.encoder} has events since {start:%Y-%m-%d} only, which is less than a week before the window: "
            "choose a reference by --reference START..END, or measure a later day."
        )
    return start, end


def measure(warehouse: Warehouse, stream: str, rows: EncoderRows, reference: Times, windows: Sequence[Times]) -> Drift:
    """Compare windows of equal length with a reference, and record what was found. Raises UserError."""
    length = windows[0][1] - windows[0][0]
    parts = divide(*reference, length)
    if not parts:
        raise UserError("The reference is shorter than one window: choose a longer one by --reference START..END.")
    base = Reference(read_windows(warehouse, stream, rows.fingerprint, parts, together=True))
    measured = tuple(
        MeasuredWindow(each.start_at, each.end_at, each.row_count, each.rejections, tuple(base.compare(each)))
        for each in read_windows(warehouse, stream, rows.fingerprint, windows)
    )
    times = (parts[0][0], parts[-1][1])
    drift = Drift(stream, rows.encoder, rows.fingerprint, times, len(parts), base.row_count, measured)
    _record(warehouse, drift)
    return drift


def measured_rows(warehouse: Warehouse, fingerprint: str) -> list[dict[str, Any]]:
    """Return the rows of `drift_v1` of an encoder, each metric of a window as it was measured last."""
    return warehouse.query(warehouse.render(_MEASURED), parameters({"fingerprint": fingerprint}))


def _record(warehouse: Warehouse, drift: Drift) -> None:
    found = [
        {**asdict(finding), "start_at": window.start_at, "end_at": window.end_at, "row_count": window.row_count}
        for window in drift.windows
        for finding in window.findings
    ]
    if not found:
        return
    values = {
        "stream": drift.stream,
        "fingerprint": drift.fingerprint,
        "reference_start_at": drift.reference[0],
        "reference_end_at": drift.reference[1],
        "measured_at": datetime.now(UTC),
    }
    warehouse.query(warehouse.render(_RECORD), [*parameters(values), structs("findings", _FIELDS, found)])
