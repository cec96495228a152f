"""The tables that may have rows of persons: Rawless's own, snapshots, copies of sources and running builds."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound

from rawless.audit.erasure.lists import Lists
from rawless.datasets import frozen_sources, snapshot_tables
from rawless.datasets.compile import WORK_PREFIX
from rawless.datasets.snapshots import Manifest
from rawless.datasets.sources import PERSON
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.tables import DatasetRole, table

_SNAPSHOT = re.compile(rf"{snapshot_tables.PREFIX}([0-9a-f]{{16,64}})")
_COPY = re.compile(rf"{frozen_sources.PREFIX}([0-9a-f]{{16,64}})_\w+")
_BUILD = re.compile(rf"({WORK_PREFIX}[0-9a-f]+)_(event|example|mark)")
_EVENT_ID = re.compile(r"(\w+_)?event_id")


@dataclass(frozen=True)
class Target:
    """A table and the columns by which the rows to erase are found."""

    kind: str
    name: str
    """The name of the table, or the id of the snapshot."""
    table_id: str
    role: DatasetRole
    subject: str | None
    times: tuple[str, ...] = ()
    events: tuple[str, ...] = ("event_id",)
    stream: str | None = "stored.stream"
    """An expression; without one events are found by their ids alone."""
    partition: str | None = None
    stream_name: str | None = None
    dropped: tuple[str, ...] = ()
    """Tables that are dropped as a whole instead, if the table has such a row."""

    def count(self, lists: Lists) -> Mapping[str, Any]:
        """Return the number of rows to erase, with their first and last time if the table is partitioned."""
        return lists.run_on("count", self._names, stream=self.stream_name)[0][0]

    def digests(self, lists: Lists) -> Mapping[str, Any]:
        """Return the number of rows to erase from a snapshot, and the digests before and after."""
        return lists.run_on("digests", self._names)[0][0]

    def delete(self, lists: Lists, found: Mapping[str, Any]) -> int:
        """Delete the rows that were found, and return their number."""
        if self.dropped:
            for table_id in self.dropped:
                _drop(lists.warehouse, table_id)
            return int(found["row_count"])
        times = {name: found.get(name) for name in ("first_at", "last_at")}
        return lists.run_on("delete", self._names, stream=self.stream_name, **times)[1]

    @property
    def _names(self) -> dict[str, Any]:
        return {"table": self.table_id, "of": asdict(self)}


def snapshot_targets(warehouse: Warehouse) -> Iterator[Target]:
    """Yield the tables of snapshots, with or without a manifest."""
    for name, _ in _tables(warehouse, "snapshots"):
        if match := _SNAPSHOT.fullmatch(name):
            yield snapshot_target(warehouse, match[1])


def build_targets(warehouse: Warehouse, manifests: Mapping[str, Manifest], erased_before: datetime) -> Iterator[Target]:
    """Yield copies of sources, and tables of running builds, that are older than the erasure."""
    names = [name for name, created in _tables(warehouse, "builds") if created <= erased_before]
    for name in names:
        if match := _COPY.fullmatch(name):
            manifest = manifests.get(match[1])
            stream = manifest.spec.get("spec", manifest.spec).get("stream") if manifest else None
            yield from _copy(warehouse, name, stream)
        elif (match := _BUILD.fullmatch(name)) and match[2] != "mark":
            of_build = tuple(each for each in names if each.startswith(f"{match[1]}_"))
            yield _running(warehouse, name, of_build)


def _running(warehouse: Warehouse, name: str, of_build: Sequence[str]) -> Target:
    dataset = warehouse.dataset_id("builds")
    dropped = tuple(f"{dataset}.{each}" for each in of_build)
    times = ("occurred_at", "logged_at")
    return Target("build", name, f"{dataset}.{name}", "builds", PERSON, times, stream=None, dropped=dropped)


def snapshot_target(warehouse: Warehouse, snapshot_id: str) -> Target:
    """Return the table of a snapshot: a pair goes if either of its events does."""
    events = ("event_id", "left_event_id", "right_event_id")
    table_id = snapshot_tables.table_id(warehouse, snapshot_id)
    return Target("snapshot", snapshot_id, table_id, "snapshots", PERSON, ("occurred_at", "logged_at"), events)


def logged_targets(warehouse: Warehouse) -> Sequence[Target]:
    """Return the tables of what was logged, the events last: an interrupted erasure finds the persons' events there."""
    return (
        _own(warehouse, "prediction_v1", "predicted_at"),
        _own(warehouse, "rejection_v1", "rejected_at"),
        _own(warehouse, "embedding_event_v1", "occurred_at", "logged_at"),
    )


def map_target(warehouse: Warehouse) -> Target:
    """Return the subject map."""
    name = "subject_map_v1"
    return Target("table", name, warehouse.table_id(name), table(name).dataset, "subject_key", events=())


def _own(warehouse: Warehouse, name: str, *times: str) -> Target:
    return Target(
        "table", name, warehouse.table_id(name), table(name).dataset, "subject_key", times, partition=times[0]
    )


def _copy(warehouse: Warehouse, name: str, stream: str | None) -> Iterator[Target]:
    """Yield a copy of a source, unless it has neither persons nor events."""
    table_id = f"{warehouse.dataset_id('builds')}.{name}"
    try:
        fields = warehouse.client.get_table(table_id, retry=warehouse.retry).schema
    except NotFound:
        return
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None
    texts = [field.name for field in fields if field.field_type == "STRING"]
    events = tuple(each for each in texts if _EVENT_ID.fullmatch(each))
    person = PERSON if PERSON in texts else None
    expression = "@stream" if stream else None
    if events or person:
        yield Target("copy", name, table_id, "builds", person, (), events, expression, stream_name=stream)


def _tables(warehouse: Warehouse, role: str) -> list[tuple[str, datetime]]:
    try:
        listed = warehouse.client.list_tables(warehouse.dataset_id(role), retry=warehouse.retry)
        return [(item.table_id, item.created) for item in listed if item.table_type != "VIEW" and item.created]
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None


def _drop(warehouse: Warehouse, table_id: str) -> None:
    try:
        warehouse.client.delete_table(table_id, not_found_ok=True, retry=warehouse.retry)
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None
