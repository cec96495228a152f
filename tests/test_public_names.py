"""`import rawless` is cheap, and each of its public names resolves."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import rawless

HEAVY = {"torch", "apache_beam", "google.cloud.bigquery", "google.api_core", "pandas", "numpy", "pydantic", "yaml"}


def test_import_rawless_imports_no_heavy_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, rawless; rawless.__version__; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert HEAVY & set(done.stdout.split()) == set()


@pytest.mark.parametrize("name", rawless.__all__)
def test_a_public_name_resolves(name: str) -> None:
    assert getattr(rawless, name) is getattr(rawless, name)
    assert name in dir(rawless)


def test_the_names_for_type_checkers_are_the_names_at_run_time() -> None:
    tree = ast.parse(Path(rawless.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    static = {alias.asname or alias.name: f"{node.module}:{alias.name}" for node in imports for alias in node.names}

    assert static == vars(rawless)["_SOURCES"]
    assert sorted(static) == rawless.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rawless' has no attribute 'frame'"):
        rawless.frame  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_that_of_the_installed_package() -> None:
    assert rawless.__version__ == version("rawless")
