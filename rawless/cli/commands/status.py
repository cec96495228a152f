"""`rawless status`: what this warehouse contains, and what to do next, on one screen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table
from rawless.errors import UserError
from rawless.quantities import format_bytes

if TYPE_CHECKING:
    from rawless.overview.audits import Audits
    from rawless.overview.datasets import DatasetSummary
    from rawless.overview.heads import HeadSummary
    from rawless.overview.next_steps import NextStep
    from rawless.overview.streams import Streams, StreamSummary

T = TypeVar("T")
_DAYS_ON_GOOGLE = 30


@dataclass(frozen=True)
class _Place:
    """Where the warehouse is."""

    home: str | None
    """The home folder; None if there is none yet, which only matters without a warehouse file."""
    warehouse: str
    server_pid: int | None
    key: str


def status(
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Count events and rejections of this time up to now, such as 7d; by default all of the local "
            f"warehouse, and {_DAYS_ON_GOOGLE}d on Google Cloud, where more days cost more.",
            show_default=False,
        ),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show the warehouse, its streams, datasets, heads and last audits, and what to do next.

    Vectors are never read; of the events only the days since --since are.
    """
    from datetime import timedelta

    from rawless.config import parse_duration
    from rawless.local import home

    duration = parse_duration(since, "--since") if since else timedelta(days=_DAYS_ON_GOOGLE) if warehouse else None
    if warehouse is None and home.existing() is None:
        _print_empty(json)
        return
    from rawless.connect import open_warehouse
    from rawless.overview import period
    from rawless.overview.audits import Audits, audits
    from rawless.overview.datasets import datasets
    from rawless.overview.heads import heads
    from rawless.overview.next_steps import next_steps
    from rawless.overview.streams import Streams, streams

    opened, unread = open_warehouse(warehouse), dict[str, str]()

    def read(section: str, of: Callable[[], T], otherwise: T) -> T:
        """Return a section; if this account may not read it, note why and return `otherwise`."""
        try:
            return of()
        except UserError as error:
            unread[section] = str(error)
            return otherwise

    counted = period.last(duration)
    found = read("streams", lambda: streams(opened, counted), Streams((), 0))
    built: Sequence[DatasetSummary] = read("datasets", lambda: list(datasets(opened)), [])
    trained: Sequence[HeadSummary] = read("heads", lambda: list(heads(opened, _heads_folder(warehouse))), [])
    audited = read("audits", lambda: audits(opened), Audits((), (), ()))
    steps = [] if unread else next_steps(found.streams, built, trained, audited)
    place = _place(warehouse)
    if json:
        lists: dict[str, Sequence[Any]] = {"streams": found.streams, "datasets": built, "heads": trained, "next": steps}
        values: dict[str, Any] = {name: [asdict(each) for each in of] for name, of in lists.items()}
        values |= {"place": asdict(place), "since": counted.start_at, "audits": asdict(audited), "unread": unread}
        print_json(values | {"bytes_processed": found.bytes_processed})
        return
    _print_place(place)
    _print_streams(found, since or (f"{_DAYS_ON_GOOGLE}d" if warehouse else None))
    _print_datasets(built)
    _print_heads(trained)
    _print_audits(audited)
    for section, why in unread.items():
        echo(f"The {section} are not shown: {why}")
    _print_steps(steps, warehouse)


def _heads_folder(warehouse: Path | None) -> Path | None:
    """Return the folder whose deployments say which heads are live; another machine's services follow another one."""
    from rawless.local import home

    return home.heads() if warehouse is None or home.existing() else None


def _place(warehouse: Path | None) -> _Place:
    from rawless.local import home, stack
    from rawless.privacy.pseudonyms import key_in_environment
    from rawless.warehouse.config import load_warehouse_config

    if warehouse:
        config, folder = load_warehouse_config(warehouse), home.existing()
        where = f"BigQuery in the project {config.project}, {config.location}, as in {warehouse}"
        key = key_in_environment() or config.pseudonym_secret or "the warehouse file names none"
        return _Place(str(folder) if folder else None, where, None, key)
    running = stack.find(home.folder())
    key = f"the file {home.key_file()}" if home.key_file().exists() else "made when the first job needs one"
    pid = running.pid if running else None
    return _Place(str(home.folder()), "the local BigQuery", pid, key_in_environment() or key)


def _print_empty(json: bool) -> None:
    """Say that there is no home folder, and make none: it would hide one that the user meant, in another folder."""
    from rawless.local import home
    from rawless.overview.audits import Audits
    from rawless.overview.next_steps import next_steps

    steps = next_steps((), (), (), Audits((), (), ()))
    if json:
        print_json({"place": None, "next": [asdict(each) for each in steps]})
        return
    echo(f"There is no home folder: neither {home.HOME_VARIABLE} names one that exists, nor is {home.NAME} in this")
    echo("folder or above it. A command that stores something makes one here.")
    _print_steps(steps, None)


def _print_place(place: _Place) -> None:
    server = f", running as process {place.server_pid}" if place.server_pid else ""
    echo(f"Warehouse: {place.warehouse}{server}.")
    if place.home:
        echo(f"Home folder: {place.home}.")
    echo(f"Pseudonym key: {place.key}.")


def _print_streams(found: "Streams", since: str | None) -> None:
    echo("")
    if not found.streams:
        echo(f"No stream has events{f' of the last {since}' if since else ''}.")
        return
    rows = [
        {
            "stream": each.stream,
            "events": f"{each.events:,}",
            "last day": f"{each.recent_events:,}",
            "last event": f"{each.last_at:%Y-%m-%d}" if each.last_at else "",
            "rejected": f"{each.rejected:,}",
            "encoders": ", ".join(f"{one.encoder}{f' ({one.role})' if one.role else ''}" for one in each.encoders),
        }
        for each in found.streams
    ]
    print_table(rows, f"Streams, events of the last {since}" if since else "Streams")
    for each in found.streams:
        if each.rejections:
            echo(f"{each.stream} rejected: {_reasons(each)}.")
    if found.bytes_processed:
        echo(f"Counting them read {format_bytes(found.bytes_processed)} of BigQuery.")


def _reasons(stream: "StreamSummary") -> str:
    """Return the reasons of rejections with their numbers, as a job's summary names them."""
    return ", ".join(f"{reason} {number:,}" for reason, number in stream.rejections.items())


def _print_datasets(built: "Sequence[DatasetSummary]") -> None:
    if not built:
        return
    rows = [
        {
            "dataset": each.dataset,
            "stream": each.current.stream,
            "snapshots": f"{len(each.snapshots):,}",
            "train/validation/test": "/".join(f"{number:,}" for number in each.current.rows_by_split.values()),
            "built last": f"{each.current.asked_at:%Y-%m-%d}",
        }
        for each in built
    ]
    print_table(rows, "Datasets")


def _print_heads(trained: "Sequence[HeadSummary]") -> None:
    if not trained:
        return
    rows = [
        {
            "head": each.head,
            "newest": f"{each.versions[0].version}, {each.versions[0].kind}",
            "live": ", ".join(f"{one.version} for {one.encoder}" for one in each.live) or "none",
            "on its test split": _first_measure(each.versions[0].metrics),
        }
        for each in trained
    ]
    print_table(rows, "Heads")


def _first_measure(metrics: Mapping[str, tuple[float, float | None, float | None]]) -> str:
    for name, (value, low, high) in metrics.items():
        interval = f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
        return f"{name} {value:.3f}{interval}"
    return ""


def _print_audits(audited: "Audits") -> None:
    rows = [*_leakage_rows(audited), *_canary_rows(audited), *_drift_rows(audited)]
    if rows:
        columns = ("audit", "of", "at", "found")
        print_table([dict(zip(columns, row, strict=True)) for row in rows], "Last audits")


def _leakage_rows(audited: "Audits") -> Iterator[tuple[str, ...]]:
    for each in audited.leakage:
        above = sorted({measure.metric for measure in each.above_limit})
        found = f"above its limit: {', '.join(above)}" if above else f"{len(each.measures):,} measures"
        of = f"{each.head or each.encoder}{f', {each.stream}' if each.stream else ''}"
        yield "leakage", of, f"{each.audited_at:%Y-%m-%d}", found


def _canary_rows(audited: "Audits") -> Iterator[tuple[str, ...]]:
    for each in audited.canaries:
        found = f"{each.traces:,} traces" if each.traces else f"no trace in {len(each.sinks):,} sinks"
        yield "canary", each.stream, f"{each.audited_at:%Y-%m-%d}", found


def _drift_rows(audited: "Audits") -> Iterator[tuple[str, ...]]:
    for each in audited.drift:
        found = f"alarms: {', '.join(each.alarms)}" if each.alarms else f"none in {each.metrics:,} metrics"
        yield "drift", f"{each.encoder}, {each.stream}", f"{each.end_at:%Y-%m-%d}", found


def _print_steps(steps: "Sequence[NextStep]", warehouse: Path | None) -> None:
    if steps:
        echo("")
        echo("What next:")
    for step in steps:
        option = f" --warehouse {warehouse}" if warehouse and " init" not in step.command else ""
        echo(f"- {step.why}")
        echo(f"  {step.command}{option}")
