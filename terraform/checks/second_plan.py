"""The second plan: an apply of files that are already applied changes nothing."""

from collections.abc import Iterator
from pathlib import Path

from terraform.checks import plan


def violations(tree: Path, file: str = plan.EXAMPLE_FILE) -> Iterator[str]:
    """Resources that every further apply would change."""
    for address, attributes in plan.changes_of_second_plan(tree, file).items():
        yield f"{address} would be changed by every apply, since what is read differs in {', '.join(attributes)}"
