"""Alerts: each names its place in the runbooks, and every reason of a rejection is in one."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rawless.privacy import Reason
from terraform.checks.plan import Resource

RUNBOOKS = Path("docs/runbooks.md")
ANCHORS = (
    "first-deploy", "new-encoder", "drain", "replay", "roll-back", "rotate-keys", "revoke-a-token", "backlog",
    "bigquery-away", "rejections", "perimeter-violation",
)  # fmt: skip
"""The runbooks' headings."""
_ANCHOR = re.compile(re.escape(str(RUNBOOKS)) + r"#([\w-]+)")


def faults(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Alerts that lead nowhere, and reasons that none tells."""
    known = _headings(tree / RUNBOOKS) if (tree / RUNBOOKS).exists() else set(ANCHORS)
    queries = ""
    for alert in (each for each in resources if each.type == "google_monitoring_alert_policy"):
        (told,) = alert.values["documentation"]
        named = set(_ANCHOR.findall(f"{told['subject']} {told['content']}"))
        if not named or named - known:
            yield f"{alert.address} names {', '.join(sorted(named)) or 'nothing'}, which is no heading of {RUNBOOKS}"
        queries += str(alert.values["conditions"])
    for reason in Reason:
        if not re.search(rf"[(|]{reason.value}[|)]", queries):
            yield f"No alert tells of rejections for {reason.value}"


def _headings(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    titles = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}
