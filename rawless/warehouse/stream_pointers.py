"""Which encoder of a stream has which role: the table `stream_pointer_v1`.

A row gives one encoder a role from a time on, and the last row of an encoder counts. The live encoder is the one that
was made live last; others that have been live are dual since then. A stream without rows has its file's first encoder
as its live one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from encoders.spec import EncoderSpec
from rawless.errors import Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters, structs
from rawless.warehouse.tables import FOLDER

Role = Literal["shadow", "dual", "live", "retired"]
"""`shadow`: its rows are logged, and nobody reads them. `dual`: heads of it are called beside those that answer.
`live`: its heads answer. `retired`: its rows were deleted."""
ROLES: tuple[Role, ...] = ("shadow", "dual", "live", "retired")
_POINT = FOLDER / "stream_pointer_v1" / "point.sql"
_FIELDS = {"role": "STRING", "encoder_fingerprint": "STRING"}


@dataclass(frozen=True)
class Change:
    """One row of the table: from `since` on, the encoder has the role."""

    role: Role
    fingerprint: str
    since: datetime


@dataclass(frozen=True)
class Pointers:
    """The roles of the encoders of one stream, with their history."""

    stream: str
    history: tuple[Change, ...]
    """The oldest first."""

    @property
    def live(self) -> str | None:
        """The fingerprint of the encoder whose heads answer; None for a stream without pointers."""
        return next((each.fingerprint for each in reversed(self.history) if each.role == "live"), None)

    @property
    def roles(self) -> Mapping[str, Role]:
        """The role of each encoder by its fingerprint."""
        last = {each.fingerprint: each.role for each in self.history}
        return {name: "dual" if role == "live" and name != self.live else role for name, role in last.items()}


def read(warehouse: Warehouse, stream: str) -> Pointers:
    """Return the pointers of a stream."""
    return read_all(warehouse).get(stream, Pointers(stream, ()))


def read_all(warehouse: Warehouse) -> dict[str, Pointers]:
    """Return the pointers of all streams that have some, by stream.

    It lists rows, because processes with raw content may run no query.
    """
    changes: dict[str, list[Change]] = {}
    for row in warehouse.list_rows("stream_pointer_v1"):
        if row["role"] in ROLES:
            change = Change(row["role"], row["encoder_fingerprint"], row["since"])
            changes.setdefault(row["stream"], []).append(change)
    # Rows of one time were written together, where the live one is the change and the others follow from it.
    return {
        stream: Pointers(stream, tuple(sorted(own, key=lambda each: (each.since, each.role == "live"))))
        for stream, own in sorted(changes.items())
    }


def refuse_retired(warehouse: Warehouse, stream: str, specs: Mapping[str, EncoderSpec]) -> None:
    """Raise UserError if an encoder, given by its reference, is retired for a stream: its rows would come back."""
    roles = read(warehouse, stream).roles
    for ref, spec in specs.items():
        if spec.sealed and roles.get(spec.fingerprint) == "retired":
            raise UserError(
                f"{ref} is retired for {stream}, so its rows were deleted: remove it from the encoders of the stream "
                f"file, or list it there and begin again with `rawless encoder adopt STREAM.yaml {ref} --to shadow`."
            )


def point(warehouse: Warehouse, before: Pointers, roles: Mapping[str, Role]) -> Pointers:
    """Give encoders new roles, by fingerprint, and return the pointers afterwards.

    Raises UserError when another process changed those of the stream since `before` was read, and then nothing changes.
    """
    last = max((each.since for each in before.history), default=datetime.min.replace(tzinfo=UTC))
    if (since := datetime.now(UTC)) <= last:
        raise UserError(f"The last change of {before.stream} is dated {last:%Y-%m-%d %H:%M:%S} UTC: check the clock.")
    rows = [{"role": role, "encoder_fingerprint": fingerprint} for fingerprint, role in roles.items()]
    values = parameters({"stream": before.stream, "since": since, "known_rows": len(before.history)})
    key = f"{warehouse.table_id('stream_pointer_v1')} {before.stream}"
    job = warehouse.run_in_turn(key, warehouse.render(_POINT), [*values, structs("pointers", _FIELDS, rows)])
    if job is None:
        raise Unavailable(f"Another account has just begun to change {before.stream}; run the command again.")
    if job.num_dml_affected_rows != len(rows):
        raise UserError(
            f"The pointers of {before.stream} were changed in the meantime: look at them, then run it again."
        )
    return read(warehouse, before.stream)
