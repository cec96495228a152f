"""The house as the design draws it: imports only point up, files and functions stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("privacy", "events", "encoders", "sql", "pipelines", "heads", "lifecycle", "audit", "serving", "rawless")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
PROSE_LINES = 60
"""What fits on one screen."""


def test_imports_only_point_up_the_house() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_subject_and_its_functions_are_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    functions = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]

    assert len(text.splitlines()) <= 250
    assert all((each.end_lineno or 0) - each.lineno < 60 for each in functions)
    assert path.stem not in ("utils", "util", "common", "helpers", "misc")


def test_the_job_file_reads_as_prose_on_one_screen() -> None:
    text = (ROOT / "pipelines" / "ingest.py").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= PROSE_LINES
    assert not any(isinstance(each, ast.Lambda) for each in ast.walk(ast.parse(text)))


def test_every_room_says_what_lives_there() -> None:
    for room in ROOMS:
        assert ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8")))
