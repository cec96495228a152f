"""Erase persons or an event: tombstones first, then the rows, the certificate last.

Each step can be repeated, so the next run finishes an erasure that was interrupted.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rawless.audit.erasure import certificate as certificates
from rawless.audit.erasure.certificate import Action, Certificate, Recorder
from rawless.audit.erasure.lists import Lists, lists
from rawless.audit.erasure.requested import Event, Persons
from rawless.audit.erasure.targets import Target, build_targets, logged_targets, map_target, snapshot_targets
from rawless.datasets.erasures import SnapshotErasure
from rawless.datasets.erasures import list_erasures as list_snapshot_erasures
from rawless.datasets.snapshots import Manifest, list_manifests
from rawless.errors import RawlessError, UserError
from rawless.heads.registry import heads
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

OnStep = Callable[[str], None]
"""Called with the name of each step before it runs."""
_RECORD = FOLDER / "snapshot_erasure_v1" / "record.sql"
_EXTEND = FOLDER / "erasure_v1" / "extend.sql"
_EXPORTS = FOLDER / "export_v1" / "of_snapshot.sql"


class Finding(NamedTuple):
    """What an erasure would do to one object."""

    kind: str
    name: str
    action: str
    rows: int


@dataclass(frozen=True)
class Plan:
    """What an erasure would do."""

    persons: int
    events: int
    findings: tuple[Finding, ...]


def plan(warehouse: Warehouse, requested: Persons | Event, on_step: OnStep) -> Plan:
    """Return what an erasure would do. Nothing is changed. Raises UserError for an event that is not known."""
    now = datetime.now(UTC)
    with lists(warehouse, "plan", now) as wanted:
        if isinstance(requested, Persons):
            wanted.request(requested)
            wanted.run("events")
        else:
            _check_known(wanted, requested)
            wanted.run("event", **asdict(requested))
        manifests = _manifests(warehouse)
        found = []
        derived = (*snapshot_targets(warehouse), *build_targets(warehouse, manifests, now))
        for target in (*derived, *logged_targets(warehouse), map_target(warehouse)):
            on_step(target.name)
            if rows := int(target.count(wanted)["row_count"]):
                found.append(Finding(target.kind, target.name, "drop" if target.dropped else "delete", rows))
        touched = {each.name: each.rows for each in found if each.kind == "snapshot"}
        found += [Finding(each.object_kind, each.object_id, each.action, each.row_count)
                  for each in _by_hand(warehouse, touched)]  # fmt: skip
        events = wanted.run("listed_events")[0][0]["events"]
    return Plan(requested.count if isinstance(requested, Persons) else 0, events, tuple(found))


def erase(warehouse: Warehouse, requested: Persons | Event, on_step: OnStep) -> Certificate:
    """Erase persons or an event, and return the certificate. An erasure that was interrupted is finished first.

    Raises UserError for an event of which there is no row, and that was not erased before.
    """
    finished = finish_open(warehouse, on_step)
    on_step("tombstones")
    with lists(warehouse, secrets.token_hex(8), datetime.now(UTC)) as wanted:
        if isinstance(requested, Persons):
            wanted.request(requested)
            for done in finished:
                if not wanted.run("uncovered", certificate_id=done.certificate_id)[0][0]["uncovered"]:
                    return done
        else:
            _check_known(wanted, requested)
            earlier = {row["certificate_id"] for row in wanted.run("event_certificates", **asdict(requested))[0]}
            for done in finished:
                if done.certificate_id in earlier:
                    return done
            wanted.run("event_tombstone", **asdict(requested))
        return _finish(wanted, on_step)


def _check_known(wanted: Lists, event: Event) -> None:
    """Raise UserError for what is no event: a tombstone would store whatever was given as its id, and erase nothing."""
    if not wanted.run("is_known", **asdict(event))[0][0]["is_known"]:
        raise UserError("The warehouse has no row of this event: check --event and --stream.")


def finish_open(warehouse: Warehouse, on_step: OnStep) -> list[Certificate]:
    """Finish the erasures that were interrupted, and return their certificates."""
    done = []
    for each in certificates.list_erasures(warehouse):
        if not each.is_finished:
            with lists(warehouse, each.certificate_id, each.erased_before) as wanted:
                wanted.read_tombstones()
                done.append(_finish(wanted, on_step))
    return done


def _finish(wanted: Lists, on_step: OnStep) -> Certificate:
    """Write the tombstones that are missing, delete the rows, and certify it."""
    warehouse, erased_before = wanted.warehouse, wanted.erased_before
    with _resumable(wanted.certificate_id):
        _write_tombstones(wanted)
        record = Recorder(warehouse, wanted.certificate_id)
        written = wanted.run("written")[0][0]
        record(
            Action("tombstone", "tombstone_v1", "written", written["persons"]),
            Action("tombstone", "event_tombstone_v1", "written", written["events"]),
        )
        manifests, seen = _manifests(warehouse), set()
        derived = (*snapshot_targets(warehouse), *build_targets(warehouse, manifests, erased_before))
        for target in (*derived, *logged_targets(warehouse)):
            on_step(target.name)
            _delete(wanted, target, manifests, record)
            seen.add(target.name)
        # A build that read events before their tombstones may have written a snapshot since.
        for target in snapshot_targets(warehouse):
            if not (target.name in seen and target.name in manifests):
                on_step(target.name)
                _delete(wanted, target, manifests, record)
        _delete(wanted, map_target(warehouse), manifests, record)
        _certify(record)
    return certificates.read(warehouse, wanted.certificate_id)


def _write_tombstones(wanted: Lists) -> None:
    """Write the tombstones of persons, then list and write those of their events."""
    wanted.run("tombstones")
    wanted.run("events")
    wanted.run("event_tombstones")


def erase_again(warehouse: Warehouse, on_step: OnStep) -> list[Certificate]:
    """Delete the rows of erased persons and events that arrived since, and return a certificate for each erasure.

    Persons keep their tombstones under pseudonym keys that are newer. An erasure that was interrupted is finished.
    """
    done = finish_open(warehouse, on_step)
    extend_tombstones(warehouse)
    for each in certificates.list_erasures(warehouse):
        with lists(warehouse, each.certificate_id, each.erased_before) as wanted:
            wanted.read_tombstones()
            _write_tombstones(wanted)
            record = Recorder(warehouse, secrets.token_hex(8))
            manifests = _manifests(warehouse)
            for target in (*snapshot_targets(warehouse), *logged_targets(warehouse)):
                on_step(target.name)
                _delete(wanted, target, manifests, record)
            if record.recorded:
                _certify(record)
                done.append(certificates.read(warehouse, record.certificate_id))
    return done


def extend_tombstones(warehouse: Warehouse) -> int:
    """Write tombstones for the pseudonyms that erased persons have got under newer keys, and return their number."""
    job = warehouse.run(warehouse.render(_EXTEND))[1]
    return int(job.num_dml_affected_rows or 0)


def _delete(wanted: Lists, target: Target, manifests: Mapping[str, Manifest], record: Recorder) -> None:
    """Record how many rows a table has to lose, then delete them."""
    found = target.digests(wanted) if target.kind == "snapshot" else target.count(wanted)
    if not found["row_count"]:
        return
    if target.kind == "snapshot":
        _record_snapshot(record, target, found, manifests.get(target.name))
    action = "dropped" if target.dropped else "deleted"
    record.deleted(target.kind, target.name, action, found["row_count"], target.role)
    target.delete(wanted, found)


def _record_snapshot(record: Recorder, target: Target, found: Mapping[str, Any], manifest: Manifest | None) -> None:
    """Record the digest over the remaining rows, unless those before were not the manifest's or the last erasure's."""
    warehouse = record.warehouse
    earlier: list[SnapshotErasure] = list_snapshot_erasures(warehouse, target.name)
    expected = earlier[-1].row_digest if earlier else manifest.row_digest if manifest else found["row_digest"]
    values = {"snapshot_id": target.name, "certificate_id": record.certificate_id, "erased_at": datetime.now(UTC)}
    values |= {"row_count": found["row_count"]}
    values |= {"row_digest": found["remaining_digest"] if found["row_digest"] == expected else None}
    statement = warehouse.render(_RECORD)
    warehouse.query(statement, parameters(values))


def _by_hand(warehouse: Warehouse, touched: Mapping[str, int]) -> Iterator[Action]:
    """Yield the exports to delete and the heads to train again, with the rows that their snapshots lost."""
    for snapshot_id, rows in touched.items():
        for export in warehouse.query(warehouse.render(_EXPORTS), parameters({"snapshot_id": snapshot_id})):
            yield Action("export", export["path"], "delete_by_hand", rows)
    for head in heads(warehouse) if touched else ():
        if rows := touched.get(head.snapshot_id or "", 0):
            yield Action("head", f"{head.head}@{head.version}", "retrain", rows)


def _certify(record: Recorder) -> None:
    """Record what is left to do by hand, and that the erasure is finished."""
    touched = {name: rows for (kind, name, _), rows in record.recorded.items() if kind == "snapshot"}
    record.finish(_by_hand(record.warehouse, touched))


def _manifests(warehouse: Warehouse) -> dict[str, Manifest]:
    return {manifest.snapshot_id: manifest for manifest in list_manifests(warehouse)}


@contextmanager
def _resumable(certificate_id: str) -> Iterator[None]:
    """Add to an error that readers leave the rows out already, and how to finish."""
    try:
        yield
    except RawlessError as error:
        raise type(error)(
            f"{error} The erasure {certificate_id} is not finished: readers leave the rows out already, and the next "
            "`rawless erase` deletes them."
        ) from None
