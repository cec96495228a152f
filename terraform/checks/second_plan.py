"""The second plan: an apply of files that are already applied changes nothing."""

from collections.abc import Iterator
from pathlib import Path

from terraform.checks import plan

EXAMPLE = "example.tfvars"


def violations(tree: Path, file: str = EXAMPLE) -> Iterator[str]:
    """Resources that every further apply with a file of variables would change; of the bootstrap, with its example."""
    for root, files in {**plan.ROOTS, "": (file,)}.items():
        for address, attributes in plan.changes_of_second_plan(tree, *files, root=root).items():
            yield f"{address} would be changed by every apply, since what is read differs in {', '.join(attributes)}"
