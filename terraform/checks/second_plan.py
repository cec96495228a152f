"""The second plan: an apply of files that are already applied changes nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from terraform.checks import plan


def violations(tree: Path, files: Sequence[str] = plan.EXAMPLE_FILES) -> Iterator[str]:
    """Resources that every further apply with files of variables would change."""
    for address, attributes in plan.changes_of_second_plan(tree, files).items():
        yield f"{address} would be changed by every apply, since what is read differs in {', '.join(attributes)}"
