"""Retiring an encoder of a stream: its rows are deleted, unless something still needs them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from encoders.spec import EncoderSpec
from rawless.datasets.cost import row_bytes
from rawless.datasets.snapshots import list_manifests
from rawless.errors import Unavailable, UserError
from rawless.lifecycle.migration import StreamEncoders, deployed_heads, live_of, role_of
from rawless.quantities import counted
from rawless.warehouse.client import Warehouse
from rawless.warehouse.inventory import DEFAULT_TIME_TRAVEL_HOURS
from rawless.warehouse.parameters import parameters
from rawless.warehouse.stream_pointers import Pointers, point
from rawless.warehouse.tables import FOLDER

_ROWS, _RETIRE, _SERVED = (
    FOLDER / "embedding_event_v1" / f"{name}.sql" for name in ("encoder_rows", "retire", "retire_served")
)


@dataclass(frozen=True)
class LoggedRows:
    """The rows that a stream has of an encoder."""

    row_count: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True)
class Retirement:
    """What retiring an encoder of a stream deletes and what it leaves: nothing is deleted by it yet."""

    stream: str
    encoder: str
    fingerprint: str
    was_retired: bool
    rows: LoggedRows
    size: int
    """The bytes of the rows, as BigQuery counts those that are not compressed."""
    snapshots: tuple[str, ...]
    """DATASET@ID of the snapshots of the stream with its vectors: they keep theirs, but cannot be built again."""
    heads: tuple[str, ...]
    """NAME@VERSION of the deployed heads that take its vectors and are not called any more."""
    adapters: tuple[str, ...]
    """Registered encoders that map its vectors into the space of another one."""


def plan_retirement(
    warehouse: Warehouse,
    encoders: StreamEncoders,
    spec: EncoderSpec,
    pointers: Pointers,
    heads: Path,
    *,
    keep_snapshots: bool = False,
) -> Retirement:
    """Return what retiring an encoder would delete. Raises UserError while something needs its rows.

    With `keep_snapshots`, snapshots with its vectors do not count: they remain, but cannot be built again.
    """
    name, own, live = encoders.stream.stream, spec.fingerprint, live_of(pointers, encoders)
    if own == live:
        raise UserError(f"{spec.ref} is the live encoder of {name}: adopt another one --to live first.")
    if own in encoders.fingerprints:
        raise UserError(
            f"{spec.ref} is in the encoders of {name}'s stream file, so jobs log its rows: remove it there, and "
            "restart the stream's jobs."
        )
    deployed = deployed_heads(warehouse, heads, name)
    of_own = {head: versions for head, versions in deployed.items() if encoders.space(own) in versions}
    if needed := [head for head, versions in of_own.items() if encoders.space(live) not in versions]:
        raise UserError(
            f"The deployed {'head' if len(needed) == 1 else 'heads'} {', '.join(needed)} in {heads} need {spec.ref}, "
            f"because no version for {encoders.ref(live)} is deployed: train and deploy one."
        )
    snapshots = tuple(
        f"{each.dataset}@{each.snapshot_id}"
        for each in list_manifests(warehouse)
        if each.has_vectors_of(own) and each.spec.get("spec", each.spec).get("stream") == name
    )
    if snapshots and not keep_snapshots:
        raise UserError(
            f"{counted(len(snapshots), 'snapshot')} of {name} {'has' if len(snapshots) == 1 else 'have'} vectors of "
            f"{spec.ref} ({', '.join(snapshots[:3])}{' …' if len(snapshots) > 3 else ''}): without its rows a "
            "snapshot can be read, but not be built again; accept that by --keep-snapshots."
        )
    rows = logged_rows(warehouse, name, own)
    if role_of(pointers, encoders, own) is None and not rows.row_count:
        raise UserError(f"{name} has no rows of {spec.ref}, and it has no role there: there is nothing to retire.")
    return Retirement(
        name,
        spec.ref,
        own,
        pointers.roles.get(own) == "retired",
        rows,
        rows.row_count * row_bytes(spec.dimension),
        snapshots,
        tuple(f"{head}@{versions[encoders.space(own)]}" for head, versions in of_own.items()),
        tuple(each.ref for each in encoders.known.values() if each.adapter and each.adapter.source == own),
    )


def logged_rows(warehouse: Warehouse, stream: str, fingerprint: str) -> LoggedRows:
    """Return how many rows a stream has of an encoder, and of which time."""
    values = parameters({"stream": stream, "fingerprint": fingerprint})
    (row,) = warehouse.query(warehouse.render(_ROWS), values)
    return LoggedRows(**row)


def retire(warehouse: Warehouse, retirement: Retirement, pointers: Pointers) -> int:
    """Mark an encoder as retired, so that no job logs rows of it, delete its rows, and return their number.

    Served rows that only its rows supersede go with them. One that was interrupted is finished by the same call. Raises
    UserError if the pointers changed in the meantime, Unavailable while BigQuery cannot delete rows because they were
    written a short time ago.
    """
    if not retirement.was_retired:
        point(warehouse, pointers, {retirement.fingerprint: "retired"})
    try:
        return _delete(warehouse, retirement)
    except Unavailable as error:
        raise Unavailable(f"{error} Until then {retirement.encoder} is retired, but its rows remain.") from None


def _delete(warehouse: Warehouse, retirement: Retirement) -> int:
    rows = retirement.rows
    if not rows.row_count:
        return 0
    of_encoder = {"stream": retirement.stream, "fingerprint": retirement.fingerprint}
    values = parameters({**of_encoder, "first_at": rows.first_at, "last_at": rows.last_at})
    warehouse.run(warehouse.render(_SERVED), values)  # first, while its rows say which these are
    _, job = warehouse.run(warehouse.render(_RETIRE), values)
    return int(job.num_dml_affected_rows or 0)


def time_travel_hours(warehouse: Warehouse) -> int | None:
    """Return for how long deleted rows can be restored; None for the local BigQuery, which keeps none."""
    if warehouse.emulator is not None:
        return None
    dataset = warehouse.client.get_dataset(warehouse.dataset_id("events"), retry=warehouse.retry)
    return int(dataset.max_time_travel_hours or DEFAULT_TIME_TRAVEL_HOURS)
