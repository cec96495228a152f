"""The names of a deployment, which the checks take from its variables."""

from dataclasses import replace

import pytest

from terraform.checks import deployment
from terraform.checks.deployment import EXAMPLE
from terraform.checks.plan import Plan

pytestmark = pytest.mark.xdist_group("plans")  # in one process of the test run, so that each is made once
OTHER = replace(
    EXAMPLE,
    production="shop-raw",
    prefix="event",
    streams=("text", "text_long"),
    claim_checks=("shop-files",),
    emails={**EXAMPLE.emails, "launcher": frozenset(["cd@shop-build.iam.gserviceaccount.com"])},
)


def test_the_names_of_the_example_are_those_that_its_checks_assume(planned: Plan) -> None:
    assert deployment.of(planned.variables, planned.resources) == EXAMPLE


@pytest.mark.parametrize(
    ("member", "role"),
    [
        ("serviceAccount:cd@shop-build.iam.gserviceaccount.com", "launcher"),
        ("serviceAccount:event-w-text-long@shop-raw.iam.gserviceaccount.com", "worker"),
        ("serviceAccount:event-orchestrator@shop-raw.iam.gserviceaccount.com", "orchestrator"),
        ("data-scientists@acme.example", "scientist"),
        ("user:cd@shop-build.iam.gserviceaccount.com", "user:cd@shop-build.iam.gserviceaccount.com"),
        ("serviceAccount:delivery@acme-build.iam.gserviceaccount.com",) * 2,
        ("allUsers", "allUsers"),
    ],
)
def test_a_member_has_the_role_that_the_variables_give_it(member: str, role: str) -> None:
    assert OTHER.grantee(member) == role


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("shop-raw", "production project"),
        ("bucket shop-raw-event-text-long-temp", "bucket temp"),
        ("bucket shop-raw-event-config", "bucket config"),
        ("bucket shop-files", "bucket claim checks"),
        ("bucket shop-files-2", "bucket shop-files-2"),
        ("projects/shop-raw/roles/event_temp_user", "projects/shop-raw/roles/temp_user"),
        ("table event_tombstone_v1", "table event_tombstone_v1"),
        ("dataset event_events", "dataset events"),
    ],
)
def test_a_target_is_abbreviated_to_the_name_that_the_file_of_grants_has(text: str, short: str) -> None:
    assert OTHER.abbreviate(text) == short
