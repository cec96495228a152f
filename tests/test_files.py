"""Atomic writes: whole or not at all, with the mode that was asked for, and nothing left behind."""

import stat
from pathlib import Path

import pytest

from rawless.files import atomic_write, write_text


def test_a_file_is_written_whole_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one")
    write_text(tmp_path / "a", "two")

    assert (tmp_path / "a").read_text() == "two"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one", mode=0o644)

    def fail() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"tw")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert (tmp_path / "a").read_text() == "one"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_first_of_two_writers_wins_where_existing_files_are_kept(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a", keep_existing=True) as slow:
        with atomic_write(tmp_path / "a", keep_existing=True) as fast:
            fast.write(b"fast")
        slow.write(b"slow")

    assert (tmp_path / "a").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
