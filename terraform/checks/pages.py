"""The resources that pages name: each must be in the plan, and each answer of the security review must have one."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from terraform.checks.plan import Resource

REVIEW = Path("docs/privacy/security-review.md")
PAGES = ("terraform/README.md", "docs/*.md", "docs/privacy/*.md")
_SPAN = re.compile(r"`((?:bootstrap\.)?(?:module\.\w+\.)?google_\w+\.\w+)`")
_ROW = re.compile(r"^\| (?!question \|)([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_NONE = "none"
"""What a row has instead of a resource, if its answer says why there is none."""


def violations(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Resources that a page names and the plan lacks, and answers that name neither a resource nor a reason."""
    blocks = {resource.block for resource in resources}
    for page in sorted(page for pattern in PAGES for page in tree.glob(pattern)):
        named = set(_SPAN.findall(page.read_text(encoding="utf-8")))
        yield from (
            f"{page.relative_to(tree)} names {name}, which is not in the plan" for name in sorted(named - blocks)
        )
    yield from _unanswered(tree / REVIEW)


def _unanswered(page: Path) -> Iterator[str]:
    for question, resource, answer in _ROW.findall(page.read_text(encoding="utf-8")):
        has_reason = resource == _NONE and answer.startswith("No resource")
        if not question.startswith("---") and not has_reason and not _SPAN.fullmatch(resource.split(" ")[0]):
            yield f"{page.name} answers “{question}” neither by a resource nor by the reason why there is none"
