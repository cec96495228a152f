"""Expectations of a dataset file: what sources, events and rows must be like for a build to commit.

A failed expectation is described by counts, never by a value of a row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rawless.datasets import sources
from rawless.datasets.compile import CompiledDataset, Statement
from rawless.datasets.snapshots import Count, list_manifests
from rawless.datasets.sources import KNOWN_AT, PERSON, SourceTable
from rawless.datasets.spec import Bounds, DatasetSpec, ExpectedSource
from rawless.errors import UserError
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

Read = Callable[[Statement], Iterable[Mapping[str, Any]]]
"""Runs a statement within the budget of a build, and returns its rows."""
_SOURCE, _EVENTS = (FOLDER / "expectations" / f"{name}.sql" for name in ("source", "events"))
_LISTABLE = ("STRING", "INTEGER", "INT64", "BOOLEAN", "BOOL", "DATE")
"""Types whose values have one spelling as text."""


def describe(spec: DatasetSpec) -> Iterator[str]:
    """Yield a phrase for each expectation."""
    for name, expected in spec.expect.sources.items():
        for column in expected.not_null:
            yield f"each row of {name} has {column}"
        for column, values in expected.accepted_values.items():
            yield f"each {column} of {name} is one of {', '.join(values)}"
        for columns in expected.unique:
            yield f"no two rows of {name} have the same {' and '.join(columns)}"
        if expected.fresh_within:
            yield f"a row of {name} became known in the {_in_words(expected.fresh_within)} before the as-of"
    if spec.expect.events:
        yield f"an event occurred in the {_in_words(spec.expect.events.fresh_within)} before the as-of"
    for label, share in spec.expect.label_shares.items():
        yield f"the share of {label} in {', '.join(share.splits)} is {_limits(share)}"
    if spec.expect.rows_of_previous:
        yield f"the rows divided by those of the previous snapshot are {_limits(spec.expect.rows_of_previous)}"


def statements(compiled: CompiledDataset) -> list[Statement]:
    """Return the statements that count what is not as expected. Raises UserError for a column that is not there."""
    found = of_sources(compiled)
    if events := compiled.spec.expect.events:
        values = parameters({"fresh_from": compiled.spec.as_of - events.fresh_within})
        table = compiled.event_table if compiled.stores_events else compiled.example_table
        found.append(Statement("expect events", compiled.warehouse.render(_EVENTS, event=table), values))
    return found


def of_sources(compiled: CompiledDataset) -> list[Statement]:
    """Return the statements that read sources, one for each. Raises UserError as `statements` does."""
    return [_of_source(compiled, name, expected) for name, expected in compiled.spec.expect.sources.items()]


def check_sources(compiled: CompiledDataset, read: Read) -> None:
    """Raise UserError when sources or events are not as expected. Of a copied source, the source itself is read."""
    broken: list[str] = []
    for statement in statements(compiled):
        (counts,) = read(statement)
        _, _, name = statement.name.partition(" ")
        expected = compiled.spec.expect.sources.get(name)
        broken += _broken_by_source(name, expected, counts) if expected else _broken_by_events(compiled.spec, counts)
    _refuse(broken)


def check_counts(compiled: CompiledDataset, counts: Sequence[Count]) -> None:
    """Raise UserError when the rows of a snapshot, by split and label, are not as expected."""
    _refuse([*_broken_by_shares(compiled.spec, counts), *_broken_by_previous(compiled, counts)])


def _refuse(broken: Sequence[str]) -> None:
    if broken:
        raise UserError(
            f"The data are not as the dataset file expects, so nothing was committed: {'; '.join(broken)}. Correct the "
            "data, or change what is expected."
        )


def _of_source(compiled: CompiledDataset, name: str, expected: ExpectedSource) -> Statement:
    table = compiled.sources[name]
    _check_columns(table, expected)
    source = sources.render(compiled.sources, [name], compiled.warehouse)
    values: dict[str, Any] = {"as_of": compiled.spec.as_of} if table.source.known_at else {}
    values |= {f"values_{position}": each for position, each in enumerate(expected.accepted_values.values())}
    if expected.fresh_within:
        values["fresh_from"] = compiled.spec.as_of - expected.fresh_within
    sql = compiled.warehouse.render(_SOURCE, inputs=source, name=name, expected=expected)
    return Statement(f"expect {name}", sql, parameters(values))


def _check_columns(table: SourceTable, expected: ExpectedSource) -> None:
    derived = [*([PERSON] if table.key else []), *([KNOWN_AT] if table.source.known_at else [])]
    there = {*table.columns, *derived}
    together = (column for columns in expected.unique for column in columns)
    for column in (*expected.not_null, *expected.accepted_values, *together):
        if column not in there:
            raise UserError(
                f"expect.sources.{table.source.name} names {column}, but SQL sees of {table.source.table}: "
                f"{', '.join(sorted(there))}."
            )
    for column in expected.accepted_values:
        if (kind := table.types.get(column, "STRING")) not in _LISTABLE:
            raise UserError(
                f"expect.sources.{table.source.name}.accepted_values names {column}, which is {kind}, but a list of "
                f"values needs one of {', '.join(_LISTABLE)}."
            )


def _broken_by_source(name: str, expected: ExpectedSource, counts: Mapping[str, Any]) -> Iterator[str]:
    rows, field = f"of {counts['row_count']:,} rows", f"expect.sources.{name}"
    for position, column in enumerate(expected.not_null):
        if count := counts[f"null_{position}"]:
            yield f"{field}.not_null: {count:,} {rows} have no {column}"
    for position, column in enumerate(expected.accepted_values):
        if count := counts[f"outside_{position}"]:
            yield f"{field}.accepted_values: {count:,} {rows} have a {column} that is not listed"
    for position, columns in enumerate(expected.unique):
        if count := counts[f"repeated_{position}"]:
            yield f"{field}.unique: {count:,} {rows} repeat the {' and '.join(columns)} of another"
    if expected.fresh_within and not counts["fresh"]:
        yield f"{field}.fresh_within: 0 {rows} became known in the {_in_words(expected.fresh_within)} before the as-of"


def _broken_by_events(spec: DatasetSpec, counts: Mapping[str, Any]) -> Iterator[str]:
    if spec.expect.events and not counts["fresh"]:
        within, rows = _in_words(spec.expect.events.fresh_within), f"{counts['row_count']:,}"
        yield f"expect.events.fresh_within: 0 of {rows} events occurred in the {within} before the as-of"


def _broken_by_shares(spec: DatasetSpec, counts: Sequence[Count]) -> Iterator[str]:
    for label, share in spec.expect.label_shares.items():
        for split in share.splits:
            rows = sum(count.row_count for count in counts if count.split == split)
            of_label = sum(count.row_count for count in counts if (count.split, count.label) == (split, label))
            if not _is_within(share, of_label / rows if rows else 0.0):
                yield f"expect.label_shares.{label}: {of_label:,} of {rows:,} rows of {split}, not {_limits(share)}"


def _broken_by_previous(compiled: CompiledDataset, counts: Sequence[Count]) -> Iterator[str]:
    bounds = compiled.spec.expect.rows_of_previous
    previous = list_manifests(compiled.warehouse, compiled.spec.dataset)[:1] if bounds else []
    rows = sum(count.row_count for count in counts)
    for manifest in previous:
        if bounds and not _is_within(bounds, rows / manifest.rows):
            yield (
                f"expect.rows_of_previous: {rows:,} rows, where the previous snapshot {manifest.snapshot_id} has "
                f"{manifest.rows:,}, are not {_limits(bounds)} of it"
            )


def _is_within(bounds: Bounds, value: float) -> bool:
    return (bounds.min is None or value >= bounds.min) and (bounds.max is None or value <= bounds.max)


def _limits(bounds: Bounds) -> str:
    limits = [("at least", bounds.min), ("at most", bounds.max)]
    return " and ".join(f"{words} {limit:g}" for words, limit in limits if limit is not None)


def _in_words(duration: timedelta) -> str:
    hours = duration.total_seconds() / 3600
    number, unit = (hours / 24, "day") if hours >= 24 else (hours, "hour")
    return f"{number:g} {unit}{'s' * (number != 1)}"
