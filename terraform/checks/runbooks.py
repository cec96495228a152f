"""Alerts: each must name an existing section of the runbooks, and every rejection reason must be in one."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rawless.privacy import Reason
from terraform.checks.plan import Resource

RUNBOOKS = Path("docs/runbooks.md")
_ANCHOR = re.compile(re.escape(str(RUNBOOKS)) + r"#([\w-]+)")


def violations(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Alerts that name no existing section, and reasons that no alert counts."""
    sections = headings(tree / RUNBOOKS)
    queries = ""
    for alert in (resource for resource in resources if resource.type == "google_monitoring_alert_policy"):
        (documentation,) = alert.values["documentation"]
        anchors = set(_ANCHOR.findall(f"{documentation['subject']} {documentation['content']}"))
        if not anchors or anchors - sections:
            yield f"{alert.address} names {', '.join(sorted(anchors)) or 'nothing'}, which is no heading of {RUNBOOKS}"
        queries += str(alert.values["conditions"])
    for reason in Reason:
        if not re.search(rf"[(|]{reason.value}[|)]", queries):
            yield f"No alert counts rejections for {reason.value}"


def headings(path: Path) -> set[str]:
    """The anchors of a Markdown file's headings."""
    lines = path.read_text(encoding="utf-8").splitlines()
    titles = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}
