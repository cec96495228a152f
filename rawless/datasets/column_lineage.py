"""Which columns of sources and events a snapshot's columns and rows depend on, as far as SQL tells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage
from sqlglot.optimizer.scope import traverse_scope

from rawless.datasets.dataset import Dataset
from rawless.datasets.sources import KNOWN_AT, PERSON
from rawless.datasets.spec import Source

_EVENTS = "embedding_event_v1"
_OF_ALL = {name: name for name in ("stream", "occurred_at", "encoder_fingerprint", "attributes", "embedding")}
_OF_PAIRS = {"left_event_id": "event_id", "right_event_id": "event_id", "right_embedding": "embedding"}


@dataclass(frozen=True, order=True)
class Origin:
    """A column that something depends on, and how, in the words of OpenLineage."""

    table: str
    column: str
    type: str
    """DIRECT if values come from it, INDIRECT if it decides about rows."""
    subtype: str


def of_events(dataset: Dataset) -> dict[str, list[Origin]]:
    """Return the origins of the columns that a snapshot takes from the events."""
    columns = _OF_ALL | (_OF_PAIRS if dataset.spec.label.kind == "pair" else {"event_id": "event_id"})
    copied = {name: [Origin(_EVENTS, column, "DIRECT", "IDENTITY")] for name, column in columns.items()}
    person = [
        Origin("subject_map_v1", PERSON, "DIRECT", "IDENTITY"),
        Origin(_EVENTS, "subject_key", "INDIRECT", "JOIN"),
    ]
    return copied | {PERSON: person}


def of_label(dataset: Dataset) -> dict[str, list[Origin]]:
    """Return the origins of the label's column; empty if they cannot be told without the types of columns."""
    sources = {source.name: source for source in dataset.spec.sources}
    try:
        root = lineage("label", dataset.label.sql, dialect="bigquery")
    except (SqlglotError, ValueError):
        return {}
    leaves = [
        (node.expression.name, node.name.rpartition(".")[2].strip('"`'))
        for node in root.walk()
        if isinstance(node.expression, exp.Table)
    ]
    origins = _origins(leaves, sources, "DIRECT", "TRANSFORMATION")
    name = "label_value" if dataset.spec.label.type == "number" else "label"
    return {name: origins} if origins else {}


def of_rules(dataset: Dataset) -> list[Origin]:
    """Return the columns that the rules read, which decide about whole rows."""
    sources = {source.name: source for source in dataset.spec.sources}
    read = [column for rule in dataset.rules for column in _columns(rule.sql)]
    return _origins(read, sources, "INDIRECT", "FILTER")


def _columns(sql: str) -> Iterator[tuple[str, str]]:
    """Yield table and column of each column whose table is named."""
    try:
        scopes = traverse_scope(parse_one(sql, dialect="bigquery"))
    except SqlglotError:
        return
    for scope in scopes:
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table):
                yield source.name, column.name


def _origins(
    columns: list[tuple[str, str]], sources: Mapping[str, Source], kind: str, subtype: str
) -> list[Origin]:  # fmt: skip
    return sorted(
        {
            Origin(table, column, kind, subtype)
            for name, read in columns
            for table, column in [_own(name, read, sources)]
            if column
        }
    )


def _own(name: str, column: str, sources: Mapping[str, Source]) -> tuple[str, str | None]:
    """Return a table and its own column for what SQL calls so, None where a build puts a column of its own there."""
    source = sources.get(name)
    if source is None and name != "event":
        return name, None
    if source is None:
        own = {PERSON: "subject_key", "example_id": "event_id", "label": None, "label_value": None, "labelled_at": None}
        return _EVENTS, own.get(column, column)
    if column == PERSON:
        return name, source.customer
    return name, source.known_at if column == KNOWN_AT and source.known_at else column
