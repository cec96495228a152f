"""The home folder holds the pseudonym key and embeddings, so only its owner may open it."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from rawless.errors import UserError
from rawless.local import home


def _open(folder: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> int:
    folder.mkdir()
    folder.chmod(mode)
    monkeypatch.setenv("RAWLESS_HOME", str(folder))
    home.folder()
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_home_folder_that_others_could_open_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _open(tmp_path / "open", 0o755, monkeypatch) == 0o700


def test_a_folder_that_users_share_is_refused_and_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="is shared with other users: set RAWLESS_HOME to another"):
        _open(tmp_path / "shared", 0o1777, monkeypatch)

    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o1777


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That user can open it again, and knows a key that was left in it."""
    (tmp_path / "planted").mkdir(mode=0o777)
    monkeypatch.setenv("RAWLESS_HOME", str(tmp_path / "planted"))
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)  # as only root could create a folder of somebody else

    with pytest.raises(UserError, match="belongs to another user: set RAWLESS_HOME to another"):
        home.folder()


def test_git_ignores_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAWLESS_HOME")
    subprocess.run(["git", "init", "--quiet"], check=True)
    (home.folder() / "pseudonym.key").write_text("secret")

    status = subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True)
    assert status.stdout == ""


def test_the_home_folder_is_found_from_a_folder_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a command in another folder would make a second, empty warehouse and another key."""
    monkeypatch.delenv("RAWLESS_HOME")
    below = tmp_path / "project" / "notebooks" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    made = home.folder()

    monkeypatch.chdir(below)
    assert home.folder() == made == tmp_path / "project" / ".rawless"
    monkeypatch.chdir(tmp_path)
    assert home.folder() == tmp_path / ".rawless"


def test_a_home_folder_above_that_belongs_to_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAWLESS_HOME")
    (tmp_path / ".rawless").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setattr(home, "_is_own", lambda path: path.is_dir() and path.parent != tmp_path)

    assert home.folder() == tmp_path / "mine" / ".rawless"


def test_a_link_of_another_user_to_a_folder_of_this_one_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAWLESS_HOME")
    (tmp_path / "documents").mkdir(mode=0o755)
    (tmp_path / ".rawless").symlink_to(tmp_path / "documents")
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    other = os.stat_result((stat.S_IFLNK, *[os.geteuid() + 1] * 9))  # as only root could create a link of somebody else
    own = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: other if path == tmp_path / ".rawless" else own(path))

    assert home.folder() == tmp_path / "mine" / ".rawless"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="belongs to another user"):
        home.folder()
    assert list((tmp_path / "documents").iterdir()) == []
