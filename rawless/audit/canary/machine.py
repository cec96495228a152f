"""Search this machine: files that changed during the run, output, log records, and every process of this user."""

import logging
import os
import select
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rawless.audit.canary.findings import Findings
from rawless.audit.sinks import find, sink
from rawless.local import home

_PROC = Path("/proc")
_SLACK_SECONDS = 2.0
_SCAN_SECONDS = 0.2
_PIPE = 1 << 16
_DATABASE_LOGS = (".wal", "-wal", "-journal")


def search_files(findings: Findings, since: float, folders: Sequence[Path] = ()) -> None:
    """Search the files of the home, temporary and cache folders, and of `folders`, that changed since a time.

    An older file cannot contain a marker of this run. What counts is the time of the inode's change, which no program
    can set back.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    roots = [
        ("home", home.folder()),
        *(("named", folder.absolute()) for folder in folders),
        *(("cache", cache / name) for name in ("wasmtime", "rawless")),
        ("temporary", Path(tempfile.gettempdir())),
    ]
    seen: set[Path] = set()
    for name, root in roots:
        below = root.relative_to(cache) if name == "cache" else Path()
        for path in _changed(root, since - _SLACK_SECONDS):
            if path not in seen:
                seen.add(path)
                _search_file(findings, path, f"{name}/{(below / path.relative_to(root)).as_posix()}")
    for code in ("temporary_files", "local_state", "caches"):  # searched, though nothing in them has changed
        findings.of(code)
    if not folders:
        findings.miss("named_files", "not_named")


def _changed(root: Path, since: float) -> Iterator[Path]:
    for folder, _, files in os.walk(root, onerror=None):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            try:
                changed = path.lstat().st_ctime
            except OSError:
                continue  # it was deleted meanwhile
            if changed >= since:
                yield path
                yield from _database_of(path)


def _database_of(path: Path) -> Iterator[Path]:
    """Yield the database file whose log this is: it is read together with its log, though only that has changed."""
    for suffix in _DATABASE_LOGS:
        if path.name.endswith(suffix) and (database := path.with_name(path.name.removesuffix(suffix))).is_file():
            yield database


def _search_file(findings: Findings, path: Path, name: str) -> None:
    where = find(name) or sink("named_files")
    with findings.searching(where) as finding:
        finding.traces |= findings.search.in_bytes(
            os.fsencode(name), f"the name of a file in the folder {name.partition('/')[0]}"
        )
        try:
            if path.is_file() and not path.is_symlink():
                finding.traces |= findings.search.in_file(path)
        except FileNotFoundError:
            return
        except OSError:
            finding.missed["not_readable"] += 1


class Processes:
    """Remembers the arguments and the environment of every process of this user, as often as they change."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._ids: set[str] = set()
        self._unreadable: set[str] = set()
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="canary processes", daemon=True)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._watcher.join()
        self.look()

    def _watch(self) -> None:
        while not self._stopped.wait(_SCAN_SECONDS):
            self.look()

    def look(self) -> None:
        """Read the arguments and environments once."""
        for process in _PROC.glob("[0-9]*"):
            try:
                if f"\nUid:\t{os.getuid()}\t" not in (process / "status").read_text(errors="replace"):
                    continue
                self._ids.add(process.name)
                self._seen.add((process / "cmdline").read_bytes())
                self._seen.add((process / "environ").read_bytes())
            except PermissionError:
                self._unreadable.add(process.name)
            except OSError:
                continue  # it has ended

    def search(self, findings: Findings) -> None:
        """Search everything that was read, and this process's own arguments and environment as they are now."""
        own = [*map(os.fsencode, sys.argv), *(name + b"=" + value for name, value in os.environb.items())]
        data = b"\n".join([*sorted(self._seen), *own])
        with findings.searching("processes", len(self._ids)) as finding:
            finding.traces |= findings.search.in_bytes(data, "arguments and environment of processes")
        findings.miss("processes", "not_readable", len(self._unreadable))


class Output:
    """Everything that this process and the programs that it starts print, and every record that it logs."""

    def __init__(self) -> None:
        self.printed = bytearray()
        self.records: list[str] = []

    def search(self, findings: Findings) -> None:
        """Search what was printed and logged."""
        findings.in_bytes("output", bytes(self.printed), "what the job printed")
        findings.in_bytes("log_records", "\n".join(self.records).encode(errors="replace"), "log records")

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Within the block, keep what is printed and logged instead of showing it."""
        handler = _Recorder(self.records)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            with self._redirected():
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)

    @contextmanager
    def _redirected(self) -> Iterator[None]:
        _flush()
        kept = [os.dup(descriptor) for descriptor in (1, 2)]
        source, target = os.pipe()
        ended = threading.Event()
        reader = threading.Thread(target=self._read, args=(source, ended), name="canary output", daemon=True)
        for descriptor in (1, 2):
            os.dup2(target, descriptor)
        os.close(target)
        reader.start()
        try:
            yield
        finally:
            _flush()
            for descriptor, original in zip((1, 2), kept, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
            ended.set()
            reader.join()

    def _read(self, source: int, ended: threading.Event) -> None:
        """Read until the block has ended: a program that it started may keep the other end open."""
        while True:
            is_last = ended.is_set()
            if select.select([source], [], [], 0 if is_last else _SCAN_SECONDS)[0] and (data := os.read(source, _PIPE)):
                self.printed += data
            elif is_last:
                os.close(source)
                return


class _Recorder(logging.Handler):
    """Keeps records as text."""

    def __init__(self, records: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(repr(record.__dict__))
        try:
            self._records.append(self.format(record))
        except Exception:  # noqa: BLE001 - a record whose arguments do not fit its message
            return


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
