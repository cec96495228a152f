"""The notebook of the examples goes from images to a plot of a head, in an environment with the wheel and extras."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from rawless.local import stack
from tests.deployment.conftest import install_wheel

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "notebook"
PAGE = ROOT / "docs" / "python.md"
EXTRAS = "ingest,train"
_BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


@pytest.fixture
def fresh(environment: Path, tmp_path: Path) -> Path:
    """A new environment into which the wheel is installed with its extras, as a user would, and a kernel of Jupyter."""
    folder = tmp_path / "fresh"
    install_wheel(environment, folder, EXTRAS, "ipykernel")
    return folder


@pytest.fixture
def kernel(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A kernel of that environment, which has a home of its own."""
    home = tmp_path / "home"
    variables = {"PATH": f"{fresh / 'bin'}{os.pathsep}{os.environ['PATH']}", "RAWLESS_HOME": str(home)}
    argv = [str(fresh / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    folder = tmp_path / "jupyter" / "kernels" / "wheel"
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": "wheel", "language": "python", "env": variables}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    yield "wheel"
    if home.is_dir():
        stack.down(home)


def _code(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(cell: Any) -> dict[str, str]:
    """The last output of each type of content."""
    return {kind: str(text) for output in cell.outputs for kind, text in output.get("data", {}).items()}


def _shape(text: str) -> str:
    """A text without numbers and ids, which depend on the machine and the time."""
    return re.sub(r"[\d.,]*\d", "N", re.sub(r"\b[0-9a-f]{24}\b", "ID", " ".join(text.split())))


def test_the_notebook_has_at_most_fifteen_lines_and_no_outputs() -> None:
    notebook = nbformat.read(EXAMPLE / "digits.ipynb", 4)
    lines = [line for code in _code(notebook) for line in code.splitlines() if line.strip()]

    assert len(lines) <= 15
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if "outputs" in cell)


def test_the_page_begins_with_the_notebook() -> None:
    blocks = [code.strip() for code, _ in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    code = _code(nbformat.read(EXAMPLE / "digits.ipynb", 4))

    assert blocks[: len(code)] == code


@pytest.mark.full
def test_it_ends_with_a_plot_and_prints_what_the_page_shows(kernel: str, fresh: Path, tmp_path: Path) -> None:
    """All blocks of the page run in one kernel, one after another: the first ones are the notebook."""
    folder = copytree(EXAMPLE, tmp_path / "work")
    notebook = nbformat.read(folder / "digits.ipynb", 4)
    length = len(_code(notebook))
    shown = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    cells = [nbformat.v4.new_code_cell(code.strip()) for code, _ in shown]
    cells.append(nbformat.v4.new_code_cell("rw.__file__"))
    played = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(played, timeout=300, kernel_name=kernel, resources={"metadata": {"path": str(folder)}}).execute()
    last = _outputs(played.cells[length - 1])

    assert "application/vnd.plotly.v1+json" in last
    assert str(fresh) in _outputs(played.cells[-1])["text/plain"]
    for cell, (_, text) in zip(played.cells, shown, strict=False):
        if text:
            assert _shape(_outputs(cell)["text/plain"]) == _shape(text), cell.source
