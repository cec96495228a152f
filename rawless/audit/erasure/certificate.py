"""The certificate of an erasure: what was deleted, what remains to be done by hand, and when the last copies end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from google.api_core.exceptions import GoogleAPIError

from rawless.warehouse.account import local_account
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.inventory import DEFAULT_TIME_TRAVEL_HOURS
from rawless.warehouse.parameters import parameters, structs
from rawless.warehouse.tables import FOLDER, DatasetRole

FAIL_SAFE = timedelta(days=7)
"""How long BigQuery keeps what time travel no longer shows; nobody but Google can read it."""
_RECORD, _CERTIFICATE, _ERASURES = (
    FOLDER / "erasure_v1" / f"{name}.sql" for name in ("record", "certificate", "erasures")
)
_ACTION = {
    "object_kind": "STRING", "object_id": "STRING", "action": "STRING", "row_count": "INT64",
    "copies_end_at": "TIMESTAMP",
}  # fmt: skip
_EMPTIED: tuple[DatasetRole, ...] = ("events", "snapshots", "builds", "subjects")
_DELETED = ("deleted", "dropped")
NOT_OURS = (
    "Business tables, the source of the events and their backups are not Rawless's: delete the person there too. While "
    "a business table that a dataset reads still has the person, builds ask for `rawless subjects sync` first."
)
NOTHING_FOUND = (
    "No row was found. Unless all were erased before, compare the ids with the producer's, and name the ids' "
    "--subject-form and each --earlier-key."
)
SERVICES = "Services and indexes that loaded a snapshot or a head keep it in memory until they are started again."


class Action(NamedTuple):
    """What an erasure does to one object."""

    object_kind: str
    """certificate, tombstone, table, snapshot, copy, build, export or head."""
    object_id: str
    action: str
    """written, deleted, dropped, delete_by_hand, retrain or finished."""
    row_count: int
    copies_end_at: datetime | None = None


@dataclass(frozen=True)
class Certificate:
    """The certificate of an erasure. It contains no id and no pseudonym of a person."""

    certificate_id: str
    requested_by: str
    erased_at: datetime
    persons: int
    events: int
    rows: int
    copies_end_at: datetime
    deleted: tuple[Action, ...]
    exports: tuple[Action, ...]
    heads: tuple[Action, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as values of JSON and times."""
        lists = {name: [each._asdict() for each in getattr(self, name)] for name in ("deleted", "exports", "heads")}
        own = ("certificate_id", "requested_by", "erased_at", "persons", "events", "rows", "copies_end_at")
        return {name: getattr(self, name) for name in own} | lists | {"not_erased": [NOT_OURS, SERVICES]}

    def lines(self) -> list[str]:
        """Return the certificate as lines of text."""
        at = f"{self.erased_at:%Y-%m-%d %H:%M:%S} UTC"
        lines = [
            f"Certificate of erasure {self.certificate_id}",
            f"Erased at {at}, requested by {self.requested_by}: {self.persons:,} persons, {self.events:,} events.",
            "",
        ]
        if self.rows:
            lines += [f"{self.rows:,} rows were deleted:"]
            lines += [f"  {each.row_count:,} {each.object_kind} {each.object_id}" for each in self.deleted]
            end = f"{self.copies_end_at:%Y-%m-%d %H:%M} UTC"
            lines += [f"The last copies of them, in time travel and fail-safe, end at {end}."]
        else:
            lines += [NOTHING_FOUND]
        if self.exports:
            lines += ["", "Delete these files by hand, or export again:"]
            lines += [f"  {each.object_id} ({each.row_count:,} erased rows)" for each in self.exports]
        if self.heads:
            lines += ["", "These heads were trained on erased rows; train them again and remove these:"]
            lines += [f"  {each.object_id} ({each.row_count:,} erased rows)" for each in self.heads]
        return [*lines, "", NOT_OURS, SERVICES]


class Open(NamedTuple):
    """An erasure by its tombstones."""

    certificate_id: str
    erased_before: datetime
    is_finished: bool


def list_erasures(warehouse: Warehouse) -> list[Open]:
    """Return all erasures, oldest first."""
    return [Open(**row) for row in warehouse.query(warehouse.render(_ERASURES))]


class Recorder:
    """Writes the rows of one erasure to `erasure_v1`, each once."""

    def __init__(self, warehouse: Warehouse, certificate_id: str) -> None:
        self.warehouse, self.certificate_id = warehouse, certificate_id
        self._kept = {role: time_travel(warehouse, role) + FAIL_SAFE for role in _EMPTIED}
        rows = warehouse.query(warehouse.render(_CERTIFICATE), parameters({"certificate_id": certificate_id}))
        self.recorded: dict[tuple[str, str, str], int] = {
            (row["object_kind"], row["object_id"], row["action"]): row["row_count"] for row in rows
        }

    def __call__(self, *actions: Action) -> None:
        """Record actions in one statement."""
        new = [action for action in actions if action[:3] not in self.recorded]
        values = {"certificate_id": self.certificate_id, "local_account": local_account(self.warehouse)}
        if new:
            self.warehouse.query(
                self.warehouse.render(_RECORD),
                [
                    *parameters({**values, "erased_at": datetime.now(UTC)}),
                    structs("actions", _ACTION, [action._asdict() for action in new]),
                ],
            )
        self.recorded |= {action[:3]: action.row_count for action in new}

    def deleted(self, kind: str, name: str, action: str, rows: int, role: DatasetRole) -> None:
        """Record that rows are deleted from a dataset, whose copies end some time later."""
        self(Action(kind, name, action, rows, datetime.now(UTC) + self._kept[role]))

    def finish(self, by_hand: Iterable[Action]) -> None:
        """Record what is left to do by hand, and that the erasure is finished."""
        rows = sum(rows for (_, _, action), rows in self.recorded.items() if action in _DELETED)
        end = datetime.now(UTC) + max(self._kept.values())
        self(*by_hand, Action("certificate", self.certificate_id, "finished", rows, end))


def read(warehouse: Warehouse, certificate_id: str) -> Certificate:
    """Return the certificate of a finished erasure."""
    rows = warehouse.query(warehouse.render(_CERTIFICATE), parameters({"certificate_id": certificate_id}))
    found = [Action(*(row[name] for name in Action._fields)) for row in rows]
    actions = {action[:3]: action for action in found}.values()  # two runs at once may each have recorded one
    last = next(row for row in rows if row["object_kind"] == "certificate")
    deleted = _of(actions, _DELETED)
    written = {each.object_id: each.row_count for each in actions if each.object_kind == "tombstone"}
    return Certificate(
        certificate_id,
        last["requested_by"],
        last["erased_at"],
        written.get("tombstone_v1", 0),
        written.get("event_tombstone_v1", 0),
        sum(each.row_count for each in deleted),
        last["copies_end_at"],
        deleted,
        _of(actions, ("delete_by_hand",)),
        _of(actions, ("retrain",)),
    )


def _of(actions: Iterable[Action], names: Sequence[str]) -> tuple[Action, ...]:
    return tuple(each for each in actions if each.action in names and each.row_count)


def time_travel(warehouse: Warehouse, role: str) -> timedelta:
    """Return for how long deleted rows of a dataset can be read again: by its own setting, or BigQuery's default."""
    try:
        dataset = warehouse.client.get_dataset(warehouse.dataset_id(role), retry=warehouse.retry)
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None
    return timedelta(hours=int(dataset.max_time_travel_hours or DEFAULT_TIME_TRAVEL_HOURS))
