"""One plan of the files as they are, and copies of the tree to make mistakes in."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from terraform.checks import plan
from terraform.checks.plan import REPOSITORY, Resource

MakeMistakes = Callable[..., Path]


@pytest.fixture(scope="session")
def resources() -> list[Resource]:
    """All that the files would make."""
    return plan.planned()


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> MakeMistakes:
    """Makes a copy of what a plan is made of, with a wrong text for a right one in some of its files."""

    def make(*found: tuple[str, str, str]) -> Path:
        tree = tmp_path_factory.mktemp("tree")
        for name in plan.READ:
            shutil.copytree(REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(REPOSITORY / "docs", tree / "docs")
        for file, right, wrong in found:
            path = tree / "terraform" / file
            text = path.read_text(encoding="utf-8")
            assert right in text
            path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
        return tree

    return make
