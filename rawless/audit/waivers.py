"""Waivers: the only way past a leakage gate, each for one metric of one encoder in one stream, until a day."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from encoders.spec import EncoderSpec
from rawless.audit.reason_codes import WaiverReason
from rawless.errors import UserError
from rawless.events.stream import load_stream
from rawless.warehouse.account import local_account
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

MAX_DAYS = 180
"""For how long a waiver is valid at most; a longer exception is decided again."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RECORD = FOLDER / "waiver_v1" / "record.sql"


def gated_stream(given: str, encoder: str, metric: str) -> str:
    """Return the name of the stream that is given by its name or by its file.

    Raises UserError if the file has no limit for the metric, or another encoder: the waiver would change nothing.
    """
    if _NAME.fullmatch(given) and not Path(given).exists():
        if not _NAME.fullmatch(metric):
            raise UserError("--metric is not the code of a metric, such as words_f1: give it as in the stream file.")
        return given
    stream = load_stream(Path(given))
    if stream.leakage is None:
        raise UserError(f"{stream.stream} has no leakage gate, so nothing has to be waived: leave the waiver out.")
    for option, value, values in (
        ("encoder", encoder, stream.encoders),
        ("metric", metric, sorted(stream.leakage.max)),
    ):
        if value not in values:
            raise UserError(f"--{option} is not one of {stream.stream}: choose one of {', '.join(values)}.")
    return stream.stream


def grant(
    warehouse: Warehouse, stream: str, spec: EncoderSpec, metric: str, reason: WaiverReason, ticket: str, until: date
) -> dict[str, Any]:
    """Record a waiver that is valid to the end of a day (UTC), and return its row without the account.

    Raises UserError for a day that is over or too far away, and what `Warehouse.query` raises.
    """
    now = datetime.now(UTC)
    last = now.date() + timedelta(days=MAX_DAYS)
    if not now.date() <= until <= last:
        raise UserError(
            f"--until is {until}, but a waiver is valid for at most {MAX_DAYS} days: choose a day from {now.date()} to "
            f"{last}."
        )
    row: dict[str, Any] = {
        "waiver_id": uuid4().hex,
        "stream": stream,
        "encoder_fingerprint": spec.fingerprint,
        "metric": metric,
        "reason": reason.value,
        "ticket": ticket,
        "granted_at": now,
        "expires_at": datetime.combine(until + timedelta(days=1), time.min, UTC),
    }
    warehouse.query(warehouse.render(_RECORD), parameters({**row, "local_account": local_account(warehouse)}))
    return row


def waivers(warehouse: Warehouse) -> list[Mapping[str, Any]]:
    """Return all waivers, the newest first, each with whether it is still valid. Raises as `Warehouse.list_rows`."""
    now = datetime.now(UTC)
    rows = sorted(warehouse.list_rows("waiver_v1"), key=lambda row: row["granted_at"], reverse=True)
    return [{**row, "valid": row["expires_at"] > now} for row in rows]
