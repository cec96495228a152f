"""What a warehouse contains now: its datasets and tables, how long they keep rows, and which have vectors."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.cloud import bigquery

from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, translated_errors
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER, ROLES, START_OF_EVENTS, DatasetRole, names, table

_ROWS = FOLDER / "inventory" / "rows.sql"
_DAY_MILLISECONDS = 24 * 60 * 60 * 1000
DEFAULT_TIME_TRAVEL_HOURS = 7 * 24
"""BigQuery's default."""
_ANYBODY = ("allUsers", "allAuthenticatedUsers", "projectReaders", "projectWriters")
"""Entries that give a dataset to more people than those whom somebody named."""


@dataclass(frozen=True)
class KeptTable:
    """A table of Rawless: what its schema says about expiry, and what is deployed."""

    table: str
    dataset: str
    row_count: int
    oldest_at: datetime | None
    """The time of the oldest row, if the table is partitioned."""
    declared_days: int | None
    """How many days its schema keeps rows; None if they do not expire."""
    deployed_days: float | None

    @property
    def differs(self) -> bool:
        """Return whether rows expire at another time than the schema says."""
        return self.declared_days != self.deployed_days


@dataclass(frozen=True)
class KeptDataset:
    """A dataset of Rawless."""

    role: str
    dataset: str
    other_tables: int
    """The number of tables and views that are not those of `sql/`: business tables, snapshots, copies."""
    other_tables_that_expire: int
    time_travel_hours: int | None
    """How long deleted rows can be restored; None for the local BigQuery, which keeps none."""
    open_to: tuple[str, ...]
    """Whom it is given to without a name, such as `allAuthenticatedUsers`."""


def kept_tables(warehouse: Warehouse) -> list[KeptTable]:
    """Return the tables of Rawless. Raises UserError for one that this account may not see."""
    with _translated_errors("The tables"):
        return [_kept_table(warehouse, name) for name in names()]


def kept_datasets(warehouse: Warehouse) -> list[KeptDataset]:
    """Return the datasets of Rawless. Raises UserError for one that this account may not see."""
    with _translated_errors("The datasets"):
        return [_kept_dataset(warehouse, role) for role in ROLES]


def tables_with_vectors(warehouse: Warehouse, role: DatasetRole, own: tuple[str, ...]) -> list[str]:
    """Return the ids of a dataset's tables and views that have a column of vectors and are not known.

    Known are those of `sql/`, and those whose names begin with a prefix in `own`. Raises UserError for one that this
    account may not see.
    """
    with _translated_errors("The tables"):
        listed = warehouse.client.list_tables(warehouse.dataset_id(role), retry=warehouse.retry)
        others = [item for item in listed if item.table_id not in names() and not item.table_id.startswith(own)]
        return [
            f"{warehouse.dataset_id(role)}.{item.table_id}"
            for item in others
            if _has_vectors(warehouse.client.get_table(item.reference, retry=warehouse.retry).schema)
        ]


def _has_vectors(columns: Iterable[bigquery.SchemaField]) -> bool:
    return any(
        (column.mode == "REPEATED" and column.field_type in ("FLOAT", "FLOAT64")) or _has_vectors(column.fields)
        for column in columns
    )


def _kept_table(warehouse: Warehouse, name: str) -> KeptTable:
    live, declared = warehouse.client.get_table(warehouse.table_id(name), retry=warehouse.retry), table(name)
    partition = declared.partition.field if declared.partition else None
    statement = warehouse.render(_ROWS, table=warehouse.table_id(name), partition=partition)
    (row,) = warehouse.query(statement, parameters({"start_of_events": START_OF_EVENTS}))
    return KeptTable(
        table=name,
        dataset=declared.dataset,
        row_count=row["row_count"],
        oldest_at=row["oldest_at"],
        declared_days=declared.partition.days if declared.partition else None,
        deployed_days=_deployed_days(live),
    )


def _deployed_days(live: bigquery.Table) -> float | None:
    if live.expires is not None and live.created is not None:  # the whole table, which none of `sql/` does
        days: float = (live.expires - live.created) / timedelta(days=1)
        return days
    lifetime = live.time_partitioning.expiration_ms if live.time_partitioning else None
    return int(lifetime) / _DAY_MILLISECONDS if lifetime else None


def _kept_dataset(warehouse: Warehouse, role: str) -> KeptDataset:
    live = warehouse.client.get_dataset(warehouse.dataset_id(role), retry=warehouse.retry)
    others = [
        item
        for item in warehouse.client.list_tables(live.reference, retry=warehouse.retry)
        if item.table_id not in names()
    ]
    return KeptDataset(
        role=role,
        dataset=live.dataset_id,
        other_tables=len(others),
        other_tables_that_expire=sum(item.expires is not None for item in others),
        time_travel_hours=None if warehouse.emulator else int(live.max_time_travel_hours or DEFAULT_TIME_TRAVEL_HOURS),
        open_to=tuple(sorted({entry.entity_id for entry in live.access_entries if entry.entity_id in _ANYBODY})),
    )


def _translated_errors(what: str) -> AbstractContextManager[None]:
    return translated_errors(
        lambda error: UserError(
            f"{what} cannot be listed ({type(error).__name__}): the account needs BigQuery's role Metadata Viewer on "
            "the five datasets."
        )
    )
