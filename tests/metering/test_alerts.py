"""The example of alerts for Prometheus asks for metrics that a process has, and names sections of the runbooks."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rawless.metering.metric import Distribution
from rawless.metering.table import METRICS
from rawless.privacy import Reason
from terraform.checks.runbooks import headings

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "examples/prometheus/alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that Prometheus adds."""
LABELS = {
    f"{metric.exposed_name}{'_bucket' * isinstance(metric, Distribution)}": {label.name for label in metric.labels}
    for metric in METRICS
} | {"process_start_time_seconds": set()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_a_metric_and_its_labels(rule: dict[str, Any]) -> None:
    (name,) = set(re.findall(r"\b(?:rawless|process)_\w+", rule["expr"]))
    asked = set(re.findall(r"[{,]\s*(\w+)=", rule["expr"]))
    for group in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        asked |= set(group.split(", "))

    assert asked <= LABELS[name] | OF_PROMETHEUS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_names_a_section_of_the_runbooks(rule: dict[str, Any]) -> None:
    page, anchor = rule["annotations"]["runbook"].split("#")
    assert anchor in headings(ROOT / "docs" / page)


def test_every_rejection_by_rawless_itself_raises_an_alert_as_on_google_cloud() -> None:
    (expression,) = (rule["expr"] for rule in RULES if rule["alert"] == "RejectedByRawless")
    (group,) = re.findall(r"internal = \[([^]]*)\]", (ROOT / "terraform/design/alerts.tf").read_text(encoding="utf-8"))
    expected = {Reason(each) for each in re.findall(r'"(\w+)"', group)}

    named = re.findall(r'reason=~"([^"]*)"', expression)

    assert len(named) == 2
    assert [{Reason(each) for each in reasons.split("|")} for reasons in named] == [expected, expected]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_promql(rule: dict[str, Any]) -> None:
    parser = pytest.importorskip("promql_parser")
    parser.parse(rule["expr"])
