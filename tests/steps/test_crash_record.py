"""What killed a process is known to the next one, and nothing else is held against it."""

import atexit
import multiprocessing
import os
import resource
import signal
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawless.errors import Unavailable
from rawless.steps import crash_record
from rawless.steps.crash_record import MAX_DEATHS, CrashRecord

SECRET = bytes(range(32))
CULPRIT = b"content that kills"
LIMIT = 30.0


def nothing() -> None:
    """A check that finds no fault."""


def enter(record: CrashRecord, content: bytes, check: Callable[[], None] = nothing) -> int | None:
    return record.enter(content, SECRET, check)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crashes"


def dies_with(path: Path, *contents: bytes) -> None:
    """A process that dies with these contents in progress. Its locks do not exclude those of this process."""
    record = CrashRecord(path)
    for content in contents:
        enter(record, content)


def works_through(path: Path, *contents: bytes) -> dict[bytes, bool]:
    """A process that tries each content in turn and dies of the culprit; returns which were accepted."""
    record, accepted = CrashRecord(path), {}
    for content in contents:
        place = enter(record, content)
        accepted[content] = place is not None
        if content == CULPRIT and place is not None:
            break
        if place is not None:
            record.leave(place)
    return accepted


def test_only_the_content_that_kills_each_process_is_rejected_and_innocent_neighbours_never(path: Path) -> None:
    neighbours = [f"neighbour {number}".encode() for number in range(20)]
    dies_with(path, *neighbours[:10], CULPRIT, *neighbours[10:])

    runs = [works_through(path, *neighbours[:10], CULPRIT, *neighbours[10:]) for _ in range(MAX_DEATHS)]

    assert [run[CULPRIT] for run in runs] == [True] * (MAX_DEATHS - 1) + [False]
    assert [all(run[content] for content in neighbours if content in run) for run in runs] == [True] * MAX_DEATHS
    assert len(runs[-1]) == 21  # the last one went on behind it
    assert list(CrashRecord(path).suspects().values()) == [MAX_DEATHS]


def test_a_suspect_waits_for_what_is_in_progress_and_what_follows_waits_for_it(path: Path) -> None:
    dies_with(path, b"suspect")
    record = CrashRecord(path)
    before = enter(record, b"before")
    assert before is not None
    places: dict[bytes, int | None] = {}
    entered = {content: threading.Event() for content in (b"suspect", b"after")}

    def work(content: bytes) -> None:
        places[content] = enter(record, content)
        entered[content].set()

    threads = [threading.Thread(target=work, args=(content,)) for content in entered]
    threads[0].start()
    assert not entered[b"suspect"].wait(0.05)
    threads[1].start()
    assert not entered[b"after"].wait(0.05)
    record.leave(before)
    assert entered[b"suspect"].wait(LIMIT)
    assert not entered[b"after"].wait(0.05)
    record.leave(places[b"suspect"] or 0)
    assert entered[b"after"].wait(LIMIT)
    assert record.suspects() == {}  # it was encoded


def test_whoever_waits_for_something_that_hangs_gets_the_error_of_its_check(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_record, "_CHECK_SECONDS", 0.01)
    dies_with(path, b"suspect")
    record = CrashRecord(path)
    enter(record, b"hangs")

    def check() -> None:
        raise Unavailable("stuck")

    with pytest.raises(Unavailable, match="stuck"):
        enter(record, b"suspect", check)
    assert enter(record, b"other") is not None  # nobody waits to be alone any more


def test_a_process_that_lives_has_no_suspects_and_one_that_is_killed_has(path: Path) -> None:
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    living = multiprocessing.get_context("fork").Process(target=_work_until_told, args=(path, theirs))
    living.start()
    assert ours.poll(LIMIT)
    ours.recv()

    assert CrashRecord(path).suspects() == {}
    assert living.pid is not None
    os.kill(living.pid, signal.SIGKILL)
    living.join(LIMIT)
    assert list(CrashRecord(path).suspects().values()) == [1]


def _work_until_told(path: Path, link: Connection) -> None:
    record = CrashRecord(path)
    enter(record, b"in progress")
    link.send("ready")
    link.recv()


def test_what_another_process_finds_out_is_known_at_once(path: Path) -> None:
    ours = CrashRecord(path)
    dies_with(path, b"suspect")
    theirs = CrashRecord(path)  # which takes over
    assert len(ours.suspects()) == 1

    place = enter(theirs, b"suspect")
    theirs.leave(place or 0)
    assert ours.suspects() == {}


def test_the_file_has_one_size_belongs_to_its_owner_only_and_contains_no_content(path: Path) -> None:
    dies_with(path, CULPRIT, *(f"neighbour {number}".encode() for number in range(9_000)))
    size = path.stat().st_size
    record = CrashRecord(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert size == path.stat().st_size < 3_000_000
    assert 4_000 < len(record.suspects()) <= 4_096  # bounded: there was no place for all
    data = path.read_bytes()
    assert b"neighbour" not in data
    assert CULPRIT not in data


def test_the_oldest_suspects_give_way_and_old_ones_are_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(crash_record.time, "time", lambda: now)
    for number in range(3):
        dies_with(path, *(f"{number} {each}".encode() for each in range(2_000)))
        now += 10
    suspects = CrashRecord(path).suspects()
    ids = [crash_record.hmac.digest(SECRET, f"{number} 7".encode(), "sha256")[:16] for number in range(3)]
    assert len(suspects) == 4_096
    assert [each in suspects for each in ids[1:]] == [True, True]
    now += 2 * 86_400
    assert CrashRecord(path).suspects() == {}


def test_a_clean_file_is_removed_and_one_with_a_suspect_is_kept(path: Path) -> None:
    record = CrashRecord(path)
    record.leave(enter(record, b"encoded") or 0)
    record.close()
    assert not path.exists()

    dies_with(path, b"suspect")
    CrashRecord(path).close()
    assert path.exists()


@settings(max_examples=15)
@given(damage=st.lists(st.tuples(st.integers(0, 300_000), st.binary(min_size=1, max_size=40)), max_size=5))
def test_whatever_the_file_contains_contents_are_accepted(
    damage: list[tuple[int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "crashes"
    dies_with(path, b"one", b"two")
    with path.open("r+b") as file:
        for at, data in damage:
            file.seek(at)
            file.write(data)
    record = CrashRecord(path)
    for content in (b"one", b"two", b"three"):
        place = enter(record, content)
        assert place is not None
        record.leave(place)
    record.close()


@pytest.mark.parametrize("what", ["link", "folder", "shared"])
def test_a_file_that_somebody_else_could_have_placed_is_not_used(path: Path, what: str) -> None:
    if what == "link":
        (path.parent / "target").write_bytes(b"")
        path.symlink_to(path.parent / "target")
    elif what == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"")
        path.chmod(0o644)
    with pytest.raises(OSError, match=r"^$|Too many levels|Is a directory"):
        CrashRecord(path)


def test_a_file_for_which_there_is_no_space_is_not_used(path: Path) -> None:
    """The space may end within the file, which is no error of the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="No space left"):
            CrashRecord(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == 0
    CrashRecord(path).close()


def test_a_process_without_a_record_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(crash_record.FOLDER_VARIABLE, str(tmp_path / "missing"))
    crash_record._crash_record.cache_clear()
    with suppress(OSError):
        assert crash_record.crash_record() is None
    crash_record._crash_record.cache_clear()
    assert "cannot be recorded (FileNotFoundError)" in caplog.text


def test_threads_that_start_at_the_same_time_have_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would write to the same part of the file, and one make suspects of what the other has in progress."""
    monkeypatch.setenv(crash_record.FOLDER_VARIABLE, str(tmp_path))
    crash_record._crash_record.cache_clear()
    start = threading.Barrier(8)

    def record_of_thread(_: int) -> CrashRecord | None:
        start.wait(LIMIT)
        return crash_record.crash_record()

    with ThreadPoolExecutor(8) as threads:
        records = set(threads.map(record_of_thread, range(8)))
    crash_record._crash_record.cache_clear()

    assert len(records) == 1
    for record in filter(None, records):
        atexit.unregister(record.close)
        record.close()
