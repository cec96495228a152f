"""Tables of running builds: their labels name the process that uses them, and they expire after some hours."""

import hashlib
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.cloud import bigquery

_LIFETIME = timedelta(hours=12)


def claim(table: bigquery.Table) -> None:
    """Label a table, before it is created, as used by this process, and let it expire."""
    table.expires = datetime.now(UTC) + _LIFETIME
    table.labels = {"host": _host(), "process": str(os.getpid())}


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
