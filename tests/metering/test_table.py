"""The page of metrics lists what a process exposes: names, kinds, labels and help are written once, in the table."""

import re
from pathlib import Path

import pytest

from rawless.metering import labels
from rawless.metering.labels import ENCODER, Label
from rawless.metering.metric import Level, Metric, in_smaller_unit, registry
from rawless.metering.table import METRICS
from rawless.privacy import Reason, Stage

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
LABELS = [each for each in vars(labels).values() if isinstance(each, Label)]


def row(metric: Metric) -> str:
    """The line of the page for a metric."""
    in_job = ".".join(
        [in_smaller_unit(metric.name)[0], *(each.name.upper() for each in metric.labels if each is not ENCODER)]
    )
    names = ", ".join(f"`{each.name}`" for each in metric.labels) or "-"
    return f"| `{metric.exposed_name}` | {metric.kind} | {names} | `{in_job}` | {metric.help} |"


def test_the_page_has_a_row_for_each_metric_and_no_other() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `rawless_")]
    assert rows == [row(metric) for metric in METRICS]


def test_the_page_has_a_row_for_each_label() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [label.name for label in LABELS if f"| `{label.name}` | {label.meaning} |" not in page] == []


def test_names_and_help_are_those_that_prometheus_has() -> None:
    exposed = {family.name: (family.type, family.documentation) for family in registry.collect()}
    assert [exposed[each.exposed_name.removesuffix("_total")] for each in METRICS] == [
        (each.kind, each.help) for each in METRICS
    ]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_ends_with_its_unit_and_help_is_one_sentence(metric: Metric) -> None:
    unit = r"(seconds|ratio|bytes|items|rows|connections|in_progress)"
    if metric.kind != "counter":
        assert re.fullmatch(rf"[a-z_]+_{unit}", metric.name)
    assert re.fullmatch(r"[A-Z][^|`]+\.", metric.help)


def test_labels_are_closed_lists_or_names_that_no_event_has() -> None:
    assert [label.name for label in LABELS if label not in {found for each in METRICS for found in each.labels}] == []
    for reason in Reason:
        assert labels.REASON.checked(reason) == reason.value
    for stage in Stage:
        assert labels.STAGE.checked(stage) == stage.value
    assert all(isinstance(each, Level) == (each.kind == "gauge") for each in METRICS)
