"""The record of who read or changed a table of Rawless on the local BigQuery, in the home folder.

It names time, account, table and job: neither statements nor values, and no table whose name Rawless did not choose.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from rawless.warehouse.account import user_name
from rawless.warehouse.tables import functions, names

ACCESS_FILE = "local.accesses.jsonl"
EARLIER_FILE = "local.accesses.earlier.jsonl"
MAX_BYTES = 5_000_000
"""Size at which a new file begins, about 30,000 accesses. The one before it is kept."""
_NAMES = "|".join(names())
_FUNCTIONS = "|".join(functions())
_TABLE = re.compile(
    r"(?P<target>\b(?:INTO|MERGE|UPDATE|DELETE\s+FROM|DELETE|TABLE(?:\s+IF\s+(?:NOT\s+)?EXISTS)?)\s+)?"
    rf"(?<![\w`])`?(?:[\w-]+`?\.`?)?(?P<dataset>\w+)`?\.`?"
    rf"(?:(?P<table>{_NAMES}|snapshot_[0-9a-f]{{24}}|dataset_[a-z0-9_]{{1,63}})`?(?![\w`]*[.\w])"
    rf"|(?P<function>{_FUNCTIONS})`?\s*\()",
    re.IGNORECASE,
)
_DEFINITION = re.compile(r"\s*CREATE\s+(OR\s+REPLACE\s+)?(TABLE\s+FUNCTION|FUNCTION|VIEW|MATERIALIZED\s+VIEW)\b", re.I)
_COMMENT = re.compile(r"--[^\n]*")

Action = Literal["read", "change"]
_job: ContextVar[str | None] = ContextVar("_job", default=None)
"""The id of the job whose statement is running."""
_reads_nothing: ContextVar[bool] = ContextVar("_reads_nothing", default=False)


@contextmanager
def reading_nothing() -> Iterator[None]:
    """Record nothing in the block, as for dry runs."""
    token = _reads_nothing.set(True)
    try:
        yield
    finally:
        _reads_nothing.reset(token)


class AccessRecord:
    """Appends accesses to a file in the home folder."""

    def __init__(self, home: Path) -> None:
        self._path, self._earlier = home / ACCESS_FILE, home / EARLIER_FILE
        self._account = user_name()
        self._lock = Lock()  # read sessions are served by threads

    @contextmanager
    def job(self, job_id: str) -> Iterator[None]:
        """Name this job as the one that accesses what is accessed in the block."""
        token = _job.set(job_id)
        try:
            yield
        finally:
            _job.reset(token)

    def add_statement(self, sql: str) -> None:
        """Record the tables that a statement read."""
        for table in tables_read(sql):
            self.add(*table, "read")

    def add(self, dataset: str, table: str, action: Action) -> None:
        """Record one access, if the table is one of Rawless."""
        if _reads_nothing.get() or not _TABLE.fullmatch(f"{dataset}.{table}"):
            return
        entry = {
            "at": datetime.now(UTC).isoformat(),
            "account": self._account,
            "table": f"{dataset}.{table}",
            "action": action,
            "job": _job.get(),
        }
        with self._lock:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
                size = file.tell()
            if size > MAX_BYTES:
                self._path.replace(self._earlier)


def tables_read(sql: str) -> list[tuple[str, str]]:
    """Return dataset and name of the tables that a statement reads, without what it only defines or writes to."""
    statement = _COMMENT.sub("", sql)
    if _DEFINITION.match(statement):
        return []
    found = (match for match in _TABLE.finditer(statement) if not match["target"])
    tables = ((match["dataset"], match["table"] or f"{match['function']}_v1") for match in found)
    return list(dict.fromkeys(tables))


def accesses(home: Path, since: datetime) -> Iterator[dict[str, Any]]:
    """Yield the accesses since a time, oldest first. A line that was cut off when the server was killed is skipped."""
    for path in (home / EARLIER_FILE, home / ACCESS_FILE):
        if not path.exists():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                entry["at"] = datetime.fromisoformat(entry["at"])
            except (ValueError, KeyError, TypeError):
                continue
            if entry["at"] >= since:
                yield entry
