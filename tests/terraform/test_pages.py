"""The resources that pages name are in the plan, and every answer of the security review names one or a reason."""

from collections.abc import Callable
from pathlib import Path

import pytest

from terraform.checks import pages
from terraform.checks.plan import REPOSITORY, Resource

pytestmark = pytest.mark.xdist_group("plans")  # in one process of the test run, so that each is made once
Change = Callable[[str, str], list[str]]


@pytest.fixture
def violations(tmp_path: Path, resources: list[Resource]) -> Change:
    """Return a function that returns the violations after a change of the security review."""
    review = tmp_path / pages.REVIEW
    review.parent.mkdir(parents=True)

    def change(before: str, after: str) -> list[str]:
        text = (REPOSITORY / pages.REVIEW).read_text(encoding="utf-8")
        assert before in text
        review.write_text(text.replace(before, after), encoding="utf-8")
        return list(pages.violations(tmp_path, resources))

    return change


def test_every_page_names_resources_of_the_plan(resources: list[Resource]) -> None:
    assert list(pages.violations(REPOSITORY, resources)) == []


def test_a_resource_that_is_not_in_the_plan_is_found(violations: Change) -> None:
    (violation,) = violations("google_compute_firewall.deny_egress", "google_compute_firewall.deny_everything")

    assert violation == (
        "docs/privacy/security-review.md names module.perimeter.google_compute_firewall.deny_everything, which is not "
        "in the plan"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("`module.keys.google_kms_crypto_key.of` |", "the keys |"),
        ("`module.keys.google_kms_crypto_key.of` |", "none |"),
        ("No resource: its bucket exists", "Its bucket exists"),
    ],
)
def test_an_answer_without_a_resource_and_without_a_reason_is_found(
    before: str, after: str, violations: Change
) -> None:
    (violation,) = violations(before, after)

    assert violation.endswith("neither by a resource nor by the reason why there is none")
