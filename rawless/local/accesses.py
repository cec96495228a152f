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
_OWN, _FUNCTIONS = frozenset(names()), frozenset(functions())
_QUALIFIED = re.compile(r"\.`?([a-z]\w+)(?=(`?\s*\(|`?\.)?)", re.IGNORECASE)
"""A name after a dot, and what follows if it is a function or a dataset."""
_PER_DATASET = re.compile(r"snapshot_[0-9a-f]{24}|dataset_[a-z0-9_]{1,63}")
_BEFORE = re.compile(
    r"(?P<target>\b(?:INTO|MERGE|UPDATE|DELETE\s+FROM|DELETE|TABLE(?:\s+IF\s+(?:NOT\s+)?EXISTS)?)\s+)?"
    r"(?<![\w`-])`?(?:[\w-]+`?\.`?)?(?P<dataset>\w+)`?\.$",
    re.IGNORECASE,
)
"""What precedes the name of a table: project, dataset, and the keyword of a statement that only writes to it."""
_WINDOW = 200
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
        if _reads_nothing.get() or not _is_own(table):
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
    found: dict[tuple[str, str], None] = {}
    for match in _QUALIFIED.finditer(statement):
        if not (name := _table(match[1].lower(), match[2] or "")):
            continue
        before = _BEFORE.search(statement, max(0, match.start() - _WINDOW), match.start() + 1)
        if before and not before["target"]:
            found[before["dataset"], name] = None
    return list(found)


def _table(name: str, following: str) -> str | None:
    """Return the table of Rawless that a qualified name means, by itself or as its function, None for any other."""
    if following.endswith("("):
        return f"{name}_v1" if name in _FUNCTIONS else None
    return name if not following and _is_own(name) else None


def _is_own(table: str) -> bool:
    return table in _OWN or _PER_DATASET.fullmatch(table) is not None


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
