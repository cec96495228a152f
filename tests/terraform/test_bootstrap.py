"""What the administrator of the organisation applies before the deployer: perimeters, origins, rights."""

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from terraform.checks import perimeter, plan, rights, start
from terraform.checks.plan import REPOSITORY, PlanError, Resource
from terraform.checks.start import PERIMETER

# Each plan takes seconds; `make check` makes that of the files as they are.
pytestmark = pytest.mark.full
ELSEWHERE = '-var=claim_check_projects={acme-uploads="acme-shop"}'
PHOTOS = "serviceAccount:rawless-w-photo-upload@acme-production.iam.gserviceaccount.com"
GROUPS = ("producers", "builders", "scientists", "auditors", "owners", "delivery")


def _perimeters(resources: list[Resource], block: str = "status") -> dict[str, Any]:
    found = [resource for resource in resources if resource.type == PERIMETER]
    return {resource.address.split('"')[1]: resource.values[block] for resource in found}


def _origins(**groups: dict[str, list[str]]) -> str:
    office = {"networks": ["203.0.113.0/24"]}
    return f"-var=origins={json.dumps({group: groups.get(group, office) for group in GROUPS})}"


@pytest.fixture(scope="module")
def unenforced() -> list[Resource]:
    """The bootstrap of a first deployment, with perimeters that only log."""
    return plan.make_plan(REPOSITORY, "-var=enforce_perimeters=false", root="bootstrap")


def test_perimeters_that_only_log_have_the_rules_of_enforced_ones(
    resources: list[Resource], unenforced: list[Resource]
) -> None:
    assert _perimeters(unenforced, "spec") == _perimeters(resources)
    assert all(not status for status in _perimeters(unenforced).values())


def test_perimeters_that_only_log_are_reported(unenforced: list[Resource]) -> None:
    (first, second) = [each for each in perimeter.violations(unenforced) if "is not enforced" in each]

    assert '.of["production"]' in first
    assert '.of["warehouse"]' in second


def test_a_gpu_stream_needs_the_projects_of_the_driver_before_perimeters_block() -> None:
    plan.make_plan(REPOSITORY, "-var=enforce_perimeters=false", "-var=driver_projects=[]", root="bootstrap")

    with pytest.raises(PlanError, match="driver_projects must not be empty, because a stream has an accelerator"):
        plan.make_plan(REPOSITORY, "-var=driver_projects=[]", root="bootstrap")


@pytest.fixture(scope="module")
def elsewhere() -> list[Resource]:
    """The bootstrap of a deployment with claim checks in a producer's project."""
    return plan.make_plan(REPOSITORY, ELSEWHERE, root="bootstrap")


def test_claim_checks_of_a_producers_project_have_a_rule_of_egress_for_the_streams_worker(
    elsewhere: list[Resource],
) -> None:
    (production,) = _perimeters(elsewhere)["production"]
    (rule,) = [rule for rule in production["egress_policies"] if rule["title"] == "Claim checks"]
    (operation,) = rule["egress_to"][0]["operations"]
    entitlements = [r for r in elsewhere if r.type == "google_privileged_access_manager_entitlement"]
    assert rule["egress_from"][0]["identities"] == [PHOTOS]
    assert len(rule["egress_to"][0]["resources"]) == 1
    assert {selector["method"] for selector in operation["method_selectors"]} == {
        "google.storage.objects.get", "google.storage.objects.list",
    }  # fmt: skip
    assert [each for each in start.violations(elsewhere) if "claim checks" in each] == []
    assert "acme-uploads" not in str(entitlements)  # a grant in the production project would not hold there


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("google.storage.objects.list", "google.storage.objects.create"), ("rawless-w-photo-upload@", "rawless-encoder@")],
)
def test_a_rule_for_claim_checks_that_allows_more_is_found(right: str, wrong: str, elsewhere: list[Resource]) -> None:
    mistaken = [replace(r, values=json.loads(json.dumps(r.values).replace(right, wrong))) for r in elsewhere]

    assert any("The rule of egress for claim checks in" in each for each in start.violations(mistaken))


def test_access_to_a_producers_bucket_is_granted_by_the_producer() -> None:
    resources = plan.make_plan(REPOSITORY, ELSEWHERE)

    assert not [r for r in resources if r.values.get("bucket") == "acme-uploads"]


def test_a_bucket_of_claim_checks_without_a_project_is_refused() -> None:
    with pytest.raises(PlanError, match=r"claim_check_projects must name the project of acme-uploads"):
        plan.make_plan(REPOSITORY, "-var=claim_check_projects={}")


@pytest.mark.parametrize(
    ("group", "origin", "message"),
    [
        ("delivery", {"networks": ["0.0.0.0/0"]}, "0.0.0.0/0 would let a stolen token in"),
        ("producers", {"access_levels": ["*"]}, "access_levels must be names such as"),
        ("owners", {"access_levels": ["accessPolicies/9/accessLevels/other"]}, "access_levels must be names such as"),
        ("auditors", {}, "at least one network or access level"),
    ],
)
def test_an_origin_must_be_a_network_or_an_access_level_of_the_organisation(
    group: str, origin: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(PlanError) as error:
        plan.make_plan(REPOSITORY, _origins(**{group: origin}), root="bootstrap")

    assert message in " ".join(str(error.value).split())


def test_an_image_of_another_project_is_refused() -> None:
    image = f"europe-west4-docker.pkg.dev/acme-build/rawless/rawless@sha256:{'0' * 64}"

    with pytest.raises(PlanError, match="image must be in a repository of acme-production"):
        plan.make_plan(REPOSITORY, f"-var=image={image}", root="bootstrap")


def test_a_resource_that_needs_the_organisation_does_not_belong_to_the_deployer(resources: list[Resource]) -> None:
    policy = Resource("google_org_policy_policy.another", "google_org_policy_policy", {})

    violations = list(rights.violations(REPOSITORY, [*resources, policy]))

    assert violations
    assert all("google_org_policy_policy needs orgpolicy.policies." in each for each in violations)
    assert all("a right at the organisation: it belongs into bootstrap/" in each for each in violations)


def test_the_type_of_a_resource_must_be_listed_with_what_it_needs(resources: list[Resource]) -> None:
    instance = Resource("google_redis_instance.of", "google_redis_instance", {"project": "acme-production"})

    violations = list(rights.violations(REPOSITORY, [*resources, instance]))

    assert "terraform/rights.yaml does not say what google_redis_instance needs" in violations


def test_nothing_of_the_bootstrap_calls_an_api_that_a_perimeter_protects(resources: list[Resource]) -> None:
    """Otherwise its administrator would be locked out by the perimeters that the same apply makes."""
    of_bootstrap = {resource.type for resource in resources if resource.root == "bootstrap"}

    assert {type_.split("_")[1] for type_ in of_bootstrap} == {
        "access", "iam", "org", "privileged", "project", "service",
    }  # fmt: skip


def test_the_runbook_names_every_role_that_the_administrator_needs() -> None:
    needed = yaml.safe_load((REPOSITORY / rights.FILE).read_text(encoding="utf-8"))["bootstrap"]
    runbook = (REPOSITORY / "docs" / "runbooks.md").read_text(encoding="utf-8")
    section = runbook.split("## First deploy", 1)[1].split("\n## ", 1)[0]

    assert [role for roles in needed.values() for role in roles if f"`{role}`" not in section] == []


def test_everything_but_the_services_can_be_applied_before_there_is_an_image() -> None:
    types = {resource.type for resource in plan.make_plan(REPOSITORY, "-var=service_file=")}

    assert "google_cloud_run_v2_service" not in types
    assert {"google_secret_manager_secret", "google_storage_bucket"} <= types
