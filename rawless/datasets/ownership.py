"""Tables of running builds: their labels name the process that uses them, and they expire after some hours."""

import hashlib
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.api_core.exceptions import Conflict, Forbidden, GoogleAPIError
from google.cloud import bigquery

from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unavailable

_LIFETIME = timedelta(hours=12)


def create(warehouse: Warehouse, table: bigquery.Table, *, forbidden: str) -> None:
    """Create a table that is labelled as used by this process and expires.

    Raises UserError when another process has created it, or with the message `forbidden` when this account may not.
    """
    table.expires = datetime.now(UTC) + _LIFETIME
    table.labels = {"host": _host(), "process": str(os.getpid())}
    try:
        warehouse.client.create_table(table, exists_ok=False, retry=warehouse.retry)
    except Conflict:
        raise UserError("Another process is building this snapshot; run the command again when it is done.") from None
    except Forbidden:
        raise UserError(forbidden) from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None


def may_be_in_use(labels: Mapping[str, str]) -> bool:
    """Return whether the process that created a table may be running; one on another machine always may."""
    if labels.get("host") != _host():
        return True
    try:
        os.kill(int(labels.get("process", "-")), 0)
    except (OSError, ValueError):
        return False
    return True


def _host() -> str:
    """Return a hash of this machine's name that a label can store."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:32]
