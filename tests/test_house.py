"""The structure that the design draws: which room may import which, and that each says what lives there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("rawless", "encoders", "pipelines")
PROSE_LINES = 60
"""What fits on one screen."""


def test_imports_only_point_down_the_floors() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_no_file_is_named_for_nothing() -> None:
    names = {path.stem for package in PACKAGES for path in (ROOT / package).rglob("*.py")}

    assert not names & {"utils", "util", "common", "helpers", "misc"}


def test_the_job_file_reads_as_prose_on_one_screen() -> None:
    text = (ROOT / "pipelines" / "ingest.py").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= PROSE_LINES
    assert not any(isinstance(each, ast.Lambda) for each in ast.walk(ast.parse(text)))


def test_every_room_says_what_lives_there() -> None:
    rooms = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))

    assert len(rooms) > 20
    assert [str(room) for room in rooms if not ast.get_docstring(ast.parse(room.read_text(encoding="utf-8")))] == []


def test_sql_holds_no_python() -> None:
    assert list((ROOT / "sql").rglob("*.py")) == []


def test_every_reader_of_events_leaves_out_served_rows_that_an_ingested_one_supersedes() -> None:
    """Otherwise a caller of a service could add a row to an event that is not its own."""
    files = [*ROOT.glob("sql/*/*.sql"), *ROOT.glob("rawless/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    readers = {
        path.name: text
        for path in files
        if re.search(
            r"embedding_event`?\((@|TIMESTAMP)|include 'embedding_event_v1/first_delivery", text := path.read_text()
        )
    }
    readers.pop("embedding_event.sql")

    assert len(readers) >= 3
    assert [name for name, text in readers.items() if not re.search(r"superseded_at|is_known\(", text)] == []


def test_every_tool_that_is_installed_has_a_pinned_version() -> None:
    """A new release of a tool that nobody has looked at must not run where the package is built."""
    places = ("Makefile", ".ci/run", ".github/workflows/ci.yml", "Dockerfile")
    commands = [line for place in places for line in (ROOT / place).read_text(encoding="utf-8").splitlines()]
    installs = [line for line in commands if "pip install" in line or "uv tool run" in line]

    assert len(installs) >= 4
    assert [line for line in installs if not ("==" in line or "--require-hashes" in line or "--no-deps" in line)] == []
