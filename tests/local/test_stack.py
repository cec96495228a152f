"""The local servers are started on demand, found again, and replaced after a kill; their data is kept."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from encoders.catalogue import lookup
from rawless.connect import LOCAL_CONFIG
from rawless.errors import UserError
from rawless.local import stack as local_stack
from rawless.local.stack import Stack
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EncoderRow


@pytest.fixture
def own_home(tmp_path: Path) -> Iterator[Path]:
    """A home whose servers are stopped afterwards."""
    yield tmp_path
    local_stack.down(tmp_path)


@pytest.mark.full
def test_data_survives_a_kill_and_the_stale_address_is_replaced(own_home: Path) -> None:
    first = local_stack.up(own_home)
    Warehouse(LOCAL_CONFIG, first.bigquery).ensure()
    Warehouse(LOCAL_CONFIG, first.bigquery).query("CREATE TABLE events.kept AS SELECT 42 AS answer")
    os.kill(first.pid, signal.SIGKILL)
    local_stack._wait_until(lambda: local_stack.find(own_home) is None, 10)
    assert (own_home / local_stack.ADDRESS_FILE).exists()

    second = local_stack.up(own_home)

    assert second.pid != first.pid
    assert Warehouse(LOCAL_CONFIG, second.bigquery).query("SELECT answer FROM kept") == [{"answer": 42}]


def test_modules_in_the_users_folder_are_not_run(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sql.py").write_text("raise SystemExit('this module must not run')")
    monkeypatch.chdir(tmp_path)

    assert local_stack.up(own_home).pid


def test_concurrent_commands_start_one_server(own_home: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        stacks = set(pool.map(lambda _: local_stack.up(own_home).pid, range(3)))

    assert len(stacks) == 1


def test_down_stops_the_server_and_returns_whether_it_was_running(own_home: Path) -> None:
    local_stack.up(own_home)

    assert local_stack.down(own_home) is True
    assert local_stack.find(own_home) is None
    assert local_stack.down(own_home) is False


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 999999999}', '{"pid": 1, "bigquery_rest": 7}']
)
def test_a_broken_address_file_counts_as_no_server(content: str, tmp_path: Path) -> None:
    (tmp_path / local_stack.ADDRESS_FILE).write_text(content)

    assert local_stack.find(tmp_path) is None


def test_the_server_never_sees_the_pseudonym_key(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWLESS_PSEUDONYM_KEY", "a-key-that-stays-here")

    stack = local_stack.up(own_home)

    with suppress(PermissionError):  # its environment is hidden from all but root
        assert b"a-key-that-stays-here" not in Path(f"/proc/{stack.pid}/environ").read_bytes()


def test_a_query_during_appends_gets_its_own_result(warehouse: Warehouse) -> None:
    """The emulator's one database connection is used by both; an append's result was once a query's answer."""
    spec = lookup("minilm@1.0.0")
    encoder = EncoderRow(spec.name, spec.version, spec.fingerprint, "{}", True, datetime.now(UTC))
    done = threading.Event()
    writer = StorageWriter(warehouse)

    def append() -> None:
        while not done.is_set():
            writer.append([encoder] * 20)

    with ThreadPoolExecutor(2) as pool:
        appending = [pool.submit(append) for _ in range(2)]
        try:
            answers = [warehouse.query(f"SELECT {number} AS n, 'x' AS x") for number in range(50)]
        finally:
            done.set()
        for future in appending:
            future.result()

    assert answers == [[{"n": number, "x": "x"}] for number in range(50)]


def test_more_writers_than_cores_stay_connected(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator waits for the next rows of each connection in a thread, and had six on two cores."""
    monkeypatch.setattr("rawless.warehouse.append_stream.IDLE_SECONDS", 60.0)
    monkeypatch.setattr("rawless.warehouse.append_stream.RESPONSE_SECONDS", 2.0)
    spec = lookup("minilm@1.0.0")
    encoder = EncoderRow(spec.name, spec.version, spec.fingerprint, "{}", True, datetime.now(UTC))
    impatient = replace(warehouse, retry_seconds=2.0)
    writers = [StorageWriter(impatient) for _ in range(20)]

    assert [writer.append([encoder]) for writer in writers] == [[]] * 20
    assert [writer.append([encoder]) for writer in writers] == [[]] * 20
    assert warehouse.query("SELECT COUNT(*) AS n FROM encoder_v1") == [{"n": 40}]


def test_a_query_during_listings_gets_its_own_result(warehouse: Warehouse) -> None:
    done = threading.Event()
    asking = replace(warehouse)  # has a client of its own

    def list_rows() -> None:
        while not done.is_set():
            assert warehouse.list_rows("encoder_v1") == []

    with ThreadPoolExecutor(2) as pool:
        listing = [pool.submit(list_rows) for _ in range(2)]
        try:
            answers = [asking.query(f"SELECT {number} AS n, 'x' AS x") for number in range(30)]
        finally:
            done.set()
        for future in listing:
            future.result()

    assert answers == [[{"n": number, "x": "x"}] for number in range(30)]


def test_a_row_is_stored_once_and_time_travel_is_refused(warehouse: Warehouse, home: Path) -> None:
    """The emulator copied the whole table at every append: gigabytes, and an erased row lived on."""
    spec = lookup("minilm@1.0.0")
    encoder = EncoderRow(spec.name, spec.version, spec.fingerprint, "{}", True, datetime.now(UTC))
    writer = StorageWriter(warehouse)
    database = home / "bigquery"
    writer.append([encoder] * 400)
    before = _size(database)

    for _ in range(30):
        writer.append([encoder])

    assert _size(database) - before < 430 * len(spec.fingerprint) * 30 / 2  # half of thirty copies of one column
    with pytest.raises(UserError, match="the local BigQuery does not support time travel"):
        warehouse.query("SELECT * FROM encoder_v1 FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01 00:00:00'")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_busy_server_is_not_mistaken_for_a_dead_one(stack: Stack, home: Path) -> None:
    """Otherwise a second server would start without access to the database, and replace the address file."""
    os.kill(stack.pid, signal.SIGSTOP)
    try:
        assert local_stack.up(home) == stack
    finally:
        os.kill(stack.pid, signal.SIGCONT)
