"""`rawless drift`: whether the embeddings of a stream changed."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.commands.encoder import resolved
from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress

if TYPE_CHECKING:
    from rawless.lifecycle.drift.compare import Finding
    from rawless.lifecycle.drift.measure import Drift, EncoderRows
    from rawless.lifecycle.drift.windows import Times
    from rawless.warehouse.client import Warehouse

ALARM = 3
"""The exit code when a metric is above its threshold."""
_DAY = "%Y-%m-%d"


def drift(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="A stream file, or the name of a stream.")],
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="One encoder. By default all of the file, or all that have rows.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="START..END",
            help="Compare with the events from one day to before another. By default the encoder's first four weeks.",
        ),
    ] = None,
    window: Annotated[str, typer.Option("--window", help="The length of a window, in whole days.")] = "1d",
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=[_DAY], help="The first day of the window. By default the last whole one."),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=[_DAY], help="Measure every whole window since this day.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Also write charts of all that was measured.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Compare the embeddings and rejections of a day with a reference, and record every metric in drift_v1.

    Exit code 0: no metric is above its threshold; 3: some are.
    """
    from rawless.connect import open_warehouse
    from rawless.errors import UserError
    from rawless.lifecycle.drift.measure import default_reference, measure

    length = _length(window)
    windows = _windows(day, since, length)
    given = _period(reference) if reference else None
    if report:
        from rawless.report import check_installed

        check_installed()
    opened = open_warehouse(warehouse)
    name, chosen = _chosen(opened, stream, encoder, warehouse)
    found = []
    for rows in chosen:
        with progress(f"Measuring {rows.encoder}"):
            compared = given or default_reference(rows, windows[0][0], length)
            if compared[1] > windows[0][0] and compared[0] < windows[-1][1]:
                raise UserError("The reference and the window overlap: choose another --reference START..END.")
            found.append(measure(opened, name, rows, compared, windows))
    if report:
        _write_report(opened, name, chosen, report)
    if json:
        print_json({"stream": name, "alarms": sum(len(each.alarms) for each in found), "encoders": _plain(found)})
    else:
        for each in found:
            _print(each)
        if report:
            echo(f"Wrote {report}; open it in a browser.")
    if any(each.alarms for each in found):
        raise typer.Exit(ALARM)


def _length(text: str) -> timedelta:
    from rawless.config import parse_duration
    from rawless.errors import UserError

    length = parse_duration(text, "--window")
    if length < timedelta(days=1) or length % timedelta(days=1):
        raise UserError(f"--window is {text}, but a window is one or several whole days, such as 1d or 7d.")
    return length


def _windows(day: datetime | None, since: datetime | None, length: timedelta) -> "list[Times]":
    from rawless.errors import UserError
    from rawless.lifecycle.drift.windows import divide

    if day and since:
        raise UserError("--day and --since are both given: one window, or all windows since a day.")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if since:
        windows = divide(since.replace(tzinfo=UTC), today, length)
    else:
        start = day.replace(tzinfo=UTC) if day else today - length
        windows = divide(start, start + length, length) if start + length <= today else []
    if not windows:
        raise UserError("The window has not ended yet: days are those of UTC; choose an earlier --day or --since.")
    return windows


def _period(text: str) -> "Times":
    from rawless.errors import UserError

    try:
        start, end = (datetime.strptime(part, _DAY).replace(tzinfo=UTC) for part in text.split(".."))
    except ValueError:
        start = end = datetime.now(UTC)
    if start >= end:
        raise UserError(f"--reference is {text!r}, but must be two days, as in 2026-01-05..2026-02-02.")
    return start, end


def _chosen(
    warehouse: "Warehouse", stream: str, encoder: str | None, file: Path | None
) -> "tuple[str, list[EncoderRows]]":
    """Return the stream's name and its encoders that are measured."""
    from rawless.errors import UserError
    from rawless.events.stream import load_stream
    from rawless.lifecycle.drift.measure import encoders_of

    loaded = load_stream(Path(stream)) if stream.endswith((".yaml", ".yml")) else None
    name = loaded.stream if loaded else stream
    refs = [encoder] if encoder else list(loaded.encoders) if loaded else []
    known = encoders_of(warehouse, name)
    wanted = {ref: resolved(ref, file).fingerprint for ref in refs}
    chosen = [rows for rows in known if not refs or rows.fingerprint in wanted.values()]
    for ref, fingerprint in wanted.items():
        if fingerprint not in {rows.fingerprint for rows in chosen}:
            raise UserError(
                f"{name} has no embeddings by {ref}, only by {', '.join(rows.encoder for rows in known)}: choose one "
                "of them by --encoder."
            )
    return name, chosen


def _print(drift: "Drift") -> None:
    start, end = drift.reference
    echo(
        f"{drift.stream}, {drift.encoder}, compared with {drift.reference_rows:,} rows of {drift.reference_windows} "
        f"windows, {start:%Y-%m-%d} to before {end:%Y-%m-%d}:"
    )
    for window in drift.windows:
        title = f"{window.start_at:%Y-%m-%d}: {window.row_count:,} rows, {window.rejections:,} rejections"
        if window.findings:
            print_table([_row(finding) for finding in window.findings], title)
        if window.note:
            echo(f"{window.start_at:%Y-%m-%d}: {window.note}.")
    alarms = {finding.metric for finding in drift.alarms}
    if alarms:
        days = [each for each in drift.windows if any(finding.is_alarm for finding in each.findings)]
        echo(
            f"Drift in {len(days)} of {len(drift.windows)} windows, the first {days[0].start_at:%Y-%m-%d}: "
            f"{', '.join(sorted(alarms))}."
        )
    else:
        echo("No metric is above its threshold.")


def _row(finding: "Finding") -> dict[str, Any]:
    return {
        "metric": finding.metric,
        "value": f"{finding.value:.4f}",
        "threshold": f"{finding.threshold:.4f}",
        "p": "" if finding.p_value is None else f"{finding.p_value:.4f}",
        "": "DRIFT" if finding.is_alarm else "",
    }


def _plain(found: "list[Drift]") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for drift in found:
        windows = [
            {
                "start_at": each.start_at,
                "end_at": each.end_at,
                "row_count": each.row_count,
                "rejections": each.rejections,
                "note": each.note,
                "metrics": [{**asdict(finding), "is_alarm": finding.is_alarm} for finding in each.findings],
            }
            for each in drift.windows
        ]
        reference = {
            "start_at": drift.reference[0],
            "end_at": drift.reference[1],
            "windows": drift.reference_windows,
            "row_count": drift.reference_rows,
        }
        rows.append(
            {"encoder": drift.encoder, "fingerprint": drift.fingerprint, "reference": reference, "windows": windows}
        )
    return rows


def _write_report(warehouse: "Warehouse", stream: str, chosen: "list[EncoderRows]", path: Path) -> None:
    from rawless.lifecycle.drift.measure import measured_rows
    from rawless.report import drift_page

    measured = {
        rows.encoder: [row for row in measured_rows(warehouse, rows.fingerprint) if row["stream"] == stream]
        for rows in chosen
    }
    drift_page.write(stream, measured, path)
