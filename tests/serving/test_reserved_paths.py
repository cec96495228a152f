"""Nothing calls a deployed service at a path that Cloud Run keeps to itself."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "rawless"
OFFERED = {"serving/service.py", "metering/endpoint.py"}
"""The modules that answer such paths too, for Kubernetes."""


def _paths(module: Path) -> set[str]:
    constants = (node.value for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if _is_text(node))
    return {text for text in constants if re.fullmatch(r"/[\w/]*z", text)}


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_no_path_that_is_requested_ends_with_z() -> None:
    """Google answers some of these itself, and recommends to avoid all."""
    found = {path.relative_to(PACKAGE).as_posix(): _paths(path) for path in PACKAGE.rglob("*.py")}

    assert {name for name, paths in found.items() if paths} == OFFERED
