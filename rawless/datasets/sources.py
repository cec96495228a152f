"""Sources: the tables of business facts that label and rules read, each as it was known at the as-of."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from textwrap import indent

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.cloud import bigquery

from rawless.datasets.rendering import render_template
from rawless.datasets.spec import Source
from rawless.errors import UserError
from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH
from rawless.similar_names import did_you_mean
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.parameters import Parameters
from rawless.warehouse.tables import names

_EVENT_ID = re.compile("(^|_)event_id$")
_CUSTOMER, _PSEUDONYM, PERSON, KNOWN_AT = "customer_id", "subject_key", "person_key", "known_at"
EVENT = "event_id"


@dataclass(frozen=True)
class SourceTable:
    """A source with the table that it is read from. SQL sees persons in place of its customers."""

    source: Source
    table_id: str
    """The table that is read: the declared one, or the copy that is kept beside a snapshot."""
    fields: tuple[bigquery.SchemaField, ...]
    """All its columns as in BigQuery's API."""
    types: Mapping[str, str]
    """All its columns with their types."""
    columns: tuple[str, ...]
    """Its columns without those that identify customers."""
    customer: str | None = None
    """Its column of plain customer ids, if it has one."""
    subject: str | None = None
    """Its column of pseudonyms, if it has one and no plain ids."""

    @property
    def key(self) -> str | None:
        """Return the column of the subject map that persons are looked up by."""
        return "customer_id" if self.customer else "subject_key" if self.subject else None

    @property
    def key_column(self) -> str | None:
        """Return the source's own column that is joined with `key`."""
        return self.customer or self.subject

    @property
    def person(self) -> str:
        """Return the expression of the person, for a source that has customers or pseudonyms."""
        return f"person.{PERSON}" if self.customer else f"COALESCE(person.{PERSON}, source.`{self.subject}`)"

    @property
    def visible_types(self) -> dict[str, str]:
        """Return the types in SQL of what a query sees: the columns, then person and known time."""
        fields = {field.name: _sql_type(field) for field in self.fields}
        types = {name: fields[name] for name in self.columns}
        person = {PERSON: "STRING"} if self.key else {}
        known_at = {KNOWN_AT: "TIMESTAMP"} if self.source.known_at else {}
        return {**known_at, **types, **person}

    @property
    def event_join(self) -> str:
        """Return the condition that joins its rows with the events that they are about.

        Raises UserError when it has neither ids of events nor persons.
        """
        if EVENT in self.types:
            return f"source.`{EVENT}` = event.{EVENT}"
        if not self.key and PERSON not in self.types:
            raise UserError(
                f"The source {self.source.table} is cut at the event, but has no column that identifies events or "
                "persons: name its customer, or cut it at the as_of."
            )
        return f"{self.person if self.key else f'source.`{PERSON}`'} = event.{PERSON}"

    @property
    def expressions_at_event(self) -> list[str]:
        """Return the select list of a source that is cut at the event, with the event in place of the person."""
        hidden = {f"{self.person} AS {PERSON}", f"source.`{PERSON}`"}
        kept = [expression for expression in self.expressions if expression not in hidden]
        return kept if EVENT in self.types else [f"event.{EVENT}", *kept]

    @property
    def expressions(self) -> list[str]:
        """Return the select list: the columns, then person and known time where the source has them."""
        expressions = [f"source.`{name}`" for name in self.columns]
        if self.key:
            expressions.append(f"{self.person} AS {PERSON}")
        if self.source.known_at and KNOWN_AT not in (name.lower() for name in self.columns):
            expressions.append(f"source.`{self.source.known_at}` AS {KNOWN_AT}")
        return expressions


def look_up(
    warehouse: Warehouse, sources: Iterable[Source], labelling: Mapping[str, Collection[str]]
) -> dict[str, SourceTable]:
    """Look the declared sources up in the warehouse and return them by name.

    `labelling` are the columns, by source, whose texts are classes. Raises UserError for a table or column that is not
    as declared, Unavailable when BigQuery does not answer.
    """
    tables = {source.name: _look_up(warehouse, source) for source in sources}
    for name, columns in labelling.items():
        for column in columns:
            _check_text_is_unique(tables[name], column)
    return tables


def _check_text_is_unique(table: SourceTable, column: str) -> None:
    """Raise UserError for a column that a label reads as text, and that BigQuery writes otherwise than others do."""
    kind = table.visible_types.get(column, "")
    if kind in ("FLOAT64", "NUMERIC", "BIGNUMERIC"):
        raise UserError(
            f"The source {table.source.table} has {column} as {kind}, which the label reads, but a class is STRING, "
            "INT64 or BOOL, because a number may be written as 1 or 1.0: load it again with --replace."
        )


def _look_up(warehouse: Warehouse, source: Source) -> SourceTable:
    table_id = warehouse.business_table_id(source.table)
    try:
        fields = list(warehouse.client.get_table(table_id, retry=warehouse.retry).schema)
    except (NotFound, Forbidden) as error:
        near = did_you_mean(source.name, _names_beside(warehouse, table_id)) if isinstance(error, NotFound) else ""
        raise UserError(
            f"The source {source.table} cannot be read ({type(error).__name__}){near}: check its name, that it was "
            "loaded, and that this account may read it."
        ) from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None
    return source_table(source, table_id, fields)


def _names_beside(warehouse: Warehouse, table_id: str) -> list[str]:
    """Return the names of the business tables in the dataset of a table; none if this account may not list them."""
    try:
        listed = warehouse.client.list_tables(table_id.rpartition(".")[0], retry=warehouse.retry)
        return sorted({item.table_id for item in listed} - {*names()})
    except (GoogleAPIError, ConnectionError):
        return []


def source_table(source: Source, table_id: str, fields: Sequence[bigquery.SchemaField]) -> SourceTable:
    """Return a source as a table with these fields. Raises UserError when it lacks a declared column."""
    types = {field.name: f"{'REPEATED ' * (field.mode == 'REPEATED')}{field.field_type}" for field in fields}
    for role, column in (("known_at", source.known_at), ("customer", source.customer)):
        if column and column not in types:
            raise UserError(
                f"The source {source.table} has no column {column}, its {role}{did_you_mean(column, types)}: it has "
                f"{', '.join(types)}."
            )
    if source.known_at and types[source.known_at] != "TIMESTAMP":
        raise UserError(
            f"The source {source.table} has {source.known_at} as {types[source.known_at]}, but a known time must be a "
            "TIMESTAMP, which has a zone; convert it."
        )
    for name, kind in types.items():
        if _EVENT_ID.search(name) and kind != "STRING":
            raise UserError(
                f"The source {source.table} has {name} as {kind}, but ids of events are STRING, and BigQuery compares "
                "no other type with them: load it again with --replace."
            )
    customer = source.customer or (_CUSTOMER if _CUSTOMER in types and _PSEUDONYM not in types else None)
    if customer and types[customer] not in ("STRING", "INTEGER", "INT64"):
        raise UserError(
            f"The source {source.table} has {customer} as {types[customer]}, but customer ids are STRING or INT64, "
            "because another number may be written as 1 or 1.0: load it again with --replace."
        )
    subject = _PSEUDONYM if _PSEUDONYM in types and not customer else None
    hidden = {customer, _CUSTOMER, _PSEUDONYM, "subject_key_id"} | ({PERSON} if customer or subject else set())
    columns = tuple(name for name in types if name not in hidden)
    return SourceTable(source, table_id, tuple(fields), types, columns, customer, subject)


_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


def _sql_type(field: bigquery.SchemaField) -> str:
    nested = ", ".join(f"`{each.name}` {_sql_type(each)}" for each in field.fields)
    kind = f"STRUCT<{nested}>" if nested else _STANDARD.get(field.field_type, field.field_type)
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else kind


def render(
    sources: Mapping[str, SourceTable], names: Iterable[str], warehouse: Warehouse, at_event: Collection[str] = ()
) -> str:
    """Return the named sources as CTEs, each filtered by its known time and with persons in place of customers.

    Those in `at_event` have a row for each event that occurred when it was known, with its `event_id`.
    """

    def body(name: str) -> str:
        statement = render_template(warehouse, "source", of=sources[name], at_event=name in at_event)
        return indent(statement, "  ")

    return ",\n".join(f"{name} AS (\n{body(name)}\n)" for name in sorted(names))


def is_newer(warehouse: Warehouse, table: SourceTable, time: datetime) -> bool:
    """Return whether a source's table was created after a time, as when it is replaced."""
    created = warehouse.client.get_table(table.table_id, retry=warehouse.retry).created
    return created is not None and created > time


def count_statement(warehouse: Warehouse, table: SourceTable) -> str:
    """Return the statement that counts the rows of a source, and its customers without a person."""
    return render_template(warehouse, "source_count", of=table, longest=MAX_SUBJECT_LENGTH)


def count_rows(warehouse: Warehouse, table: SourceTable, parameters: Parameters) -> int:
    """Return how many rows of a source were known at the as-of.

    Raises UserError when the subject map lacks some of its customers: rules would overlook them without notice.
    """
    (counts,) = warehouse.query(count_statement(warehouse, table), parameters)
    if counts["unmapped"]:
        raise UserError(
            f"{counts['unmapped']:,} customers of {table.source.table} are not in the subject map, so rules cannot "
            f"find them: run `rawless subjects sync --from {table.source.table}.{table.customer}`."
        )
    return int(counts["row_count"])
