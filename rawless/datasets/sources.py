"""Sources: the tables of business facts that label and rules read, each as it was known at the as-of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import indent

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.cloud import bigquery

from rawless.datasets.rendering import template
from rawless.datasets.spec import Source
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unanswered
from rawless.warehouse.parameters import Parameters
from rawless.warehouse.subjects import MAX_ID_LENGTH

_CUSTOMER, _PSEUDONYM, PERSON, KNOWN_AT = "customer_id", "subject_key", "person_key", "known_at"


@dataclass(frozen=True)
class Columns:
    """A source, and what SQL sees of it."""

    source: Source
    table_id: str
    """Where its rows are read: the table, or the copy that is kept beside a snapshot."""
    kept: tuple[str, ...]
    """Its columns, but for customer ids."""
    customer: str | None = None
    """Its column of plain customer ids, which becomes a person."""
    subject: str | None = None
    """Its column of pseudonyms, likewise."""

    @property
    def key(self) -> str | None:
        """The column of the subject map that its persons are found by."""
        return "customer_id" if self.customer else "subject_key" if self.subject else None

    @property
    def key_column(self) -> str | None:
        """Its own column that is compared with it."""
        return self.customer or self.subject

    @property
    def names(self) -> frozenset[str]:
        """The columns that SQL may name, in lower case."""
        added = {PERSON} if self.customer or self.subject else set()
        return frozenset(name.lower() for name in self.kept) | added | ({KNOWN_AT} if self.source.known_at else set())

    @property
    def expressions(self) -> list[str]:
        """The columns as a SELECT has them."""
        told = [f"source.`{name}`" for name in self.kept]
        if self.customer:
            told.append(f"person.{PERSON}")
        elif self.subject:
            told.append(f"COALESCE(person.{PERSON}, source.`{self.subject}`) AS {PERSON}")
        if self.source.known_at and KNOWN_AT not in (name.lower() for name in self.kept):
            told.append(f"source.`{self.source.known_at}` AS {KNOWN_AT}")
        return told


def look(warehouse: Warehouse, sources: Iterable[Source]) -> dict[str, Columns]:
    """The sources by name, their columns looked up. Raises UserError for a table or column that is not as declared."""
    return {source.name: _look(warehouse, source) for source in sources}


def _look(warehouse: Warehouse, source: Source) -> Columns:
    table_id = warehouse.business_table_id(source.table)
    try:
        fields = list(warehouse.client.get_table(table_id, retry=warehouse.retry).schema)
    except (NotFound, Forbidden) as error:
        raise UserError(
            f"The source {source.table} cannot be read ({type(error).__name__}): check its name, that it was loaded, "
            "and that this account may read it."
        ) from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unanswered(error) from None
    return columns_of(source, table_id, fields)


def columns_of(source: Source, table_id: str, fields: Sequence[bigquery.SchemaField]) -> Columns:
    """What SQL sees of a table with these fields. Raises UserError."""
    types = {field.name: field.field_type for field in fields}
    for role, column in (("known_at", source.known_at), ("customer", source.customer)):
        if column and column not in types:
            raise UserError(f"The source {source.table} has no column {column}, its {role}: it has {', '.join(types)}.")
    if source.known_at and types[source.known_at] != "TIMESTAMP":
        raise UserError(
            f"The source {source.table} has {source.known_at} as {types[source.known_at]}, but a known time is a "
            "TIMESTAMP, which has a zone: convert it."
        )
    customer = source.customer or (_CUSTOMER if _CUSTOMER in types and _PSEUDONYM not in types else None)
    subject = _PSEUDONYM if _PSEUDONYM in types and not customer else None
    hidden = {customer, _CUSTOMER, _PSEUDONYM, "subject_key_id"} | ({PERSON} if customer or subject else set())
    kept = tuple(name for name in types if name not in hidden)
    return Columns(source, table_id, kept, customer, subject)


def render(columns: Mapping[str, Columns], names: Iterable[str], warehouse: Warehouse) -> str:
    """The named sources as CTEs, each cut at its known time, plain ids turned into persons."""
    return ",\n".join(
        f"{name} AS (\n{indent(template(warehouse, 'source', of=columns[name]), '  ')}\n)" for name in sorted(names)
    )


def count(warehouse: Warehouse, columns: Columns, parameters: Parameters) -> int:
    """The rows of a source that were known at the as-of.

    Raises UserError when customers of it are in no subject map: a rule would overlook them in silence.
    """
    (found,) = warehouse.query(template(warehouse, "source_count", of=columns, longest=MAX_ID_LENGTH), parameters)
    if found["unmapped"]:
        raise UserError(
            f"{found['unmapped']:,} customers of {columns.source.table} are not in the subject map, so rules cannot "
            f"find them: run `rawless subjects sync --from {columns.source.table}.{columns.customer}`."
        )
    return int(found["row_count"])
