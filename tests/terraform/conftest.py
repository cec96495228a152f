"""A plan of the real files, and copies of the tree with deliberate mistakes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from terraform.checks import plan
from terraform.checks.plan import REPOSITORY, Plan, Resource

MakeMistakes = Callable[..., Path]


@pytest.fixture(scope="session")
def planned() -> Plan:
    """The plan of the example."""
    return plan.plan_with(REPOSITORY)


@pytest.fixture(scope="session")
def resources(planned: Plan) -> list[Resource]:
    """Every resource that the files would create."""
    return planned.resources


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> MakeMistakes:
    """Copy the files that the checks read, and replace a correct text by a wrong one in some of them."""

    def make(*replacements: tuple[str, str, str]) -> Path:
        tree = tmp_path_factory.mktemp("tree")
        for name in (*plan.INPUTS, "docs"):
            shutil.copytree(REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file, right, wrong in replacements:
            path = tree / "terraform" / file
            text = path.read_text(encoding="utf-8")
            assert right in text
            path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
        return tree

    return make
