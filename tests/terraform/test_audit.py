"""Which log entries the sinks and alerts select, on samples in the form that Google's services write."""

from typing import Any

import pytest

from terraform.checks.plan import Resource
from tests.terraform.log_filter import matches

pytestmark = pytest.mark.xdist_group("plans")  # in one process of the test run, so that each is made once
DATA_ACCESS = "projects/acme-production/logs/cloudaudit.googleapis.com%2Fdata_access"
OBJECT_READ = {
    "logName": DATA_ACCESS,
    "resource": {"type": "gcs_bucket"},
    "protoPayload": {
        "serviceName": "storage.googleapis.com",
        "methodName": "storage.objects.get",
        "resourceName": "projects/_/buckets/acme-uploads/objects/photos/customer-4711.jpg",
        "authenticationInfo": {"principalEmail": "delivery@acme-build.iam.gserviceaccount.com"},
    },
}


def _bigquery(metadata: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
    """A record of BigQuery. Those of the tables that a query reads have the method InsertJob too."""
    return {
        "logName": "projects/acme-embeddings/logs/cloudaudit.googleapis.com%2Fdata_access",
        "resource": {"type": "bigquery_dataset" if "tableData" in str(metadata) else "bigquery_project"},
        "protoPayload": {
            "serviceName": "bigquery.googleapis.com",
            "methodName": "google.cloud.bigquery.v2.JobService.InsertJob",
            "status": status or {},
            "metadata": metadata,
        },
    }


QUERY = {"queryConfig": {"query": "SELECT 'a customer wrote this'"}}
TABLE_READ = _bigquery({"tableDataRead": {"fields": ["embedding"], "jobName": "projects/p/jobs/j", "reason": "JOB"}})
TABLE_CHANGE = _bigquery({"tableDataChange": {"insertedRowsCount": "3", "reason": "JOB"}})
RECORDS_WITH_CONTENT = {
    "the name of an object": OBJECT_READ,
    "the text of a query": _bigquery({"jobInsertion": {"job": {"jobConfig": QUERY}}}),
    "the error of a job": _bigquery(
        {"jobChange": {"job": {"jobStatus": {"errorResult": {"message": "Bad double: x"}}}}}
    ),
    "the error of a read": _bigquery({"tableDataRead": {}}, {"code": 3, "message": "Bad double value: x"}),
    "the older form of a job": {
        **OBJECT_READ,
        "resource": {"type": "bigquery_resource"},
        "protoPayload": {"serviceData": {"jobCompletedEvent": {"job": QUERY}}},
    },
}


@pytest.mark.parametrize("status", [200, 404, 500])
def test_the_url_of_a_request_is_not_logged_whatever_the_response(status: int, resources: list[Resource]) -> None:
    request = {
        "logName": "projects/acme-production/logs/run.googleapis.com%2Frequests",
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": "rawless-orchestrator"}},
        "httpRequest": {
            "status": status,
            "requestUrl": "https://rawless-orchestrator/predict?text=a+customer+wrote+this",
        },
    }
    exclusions = [r.values["filter"] for r in resources if r.type == "google_logging_project_exclusion"]

    assert any(matches(text, request) for text in exclusions if "severity" not in text)


def test_refused_and_failed_requests_raise_alerts_without_a_log(resources: list[Resource]) -> None:
    filters = {
        r.address.split('"')[1]: r.values["conditions"][0]["condition_threshold"][0]["filter"]
        for r in resources
        if r.block == "module.observability.google_monitoring_alert_policy.counts"
    }

    assert all("run.googleapis.com/request_count" in filters[name] for name in ("refused_callers", "services_failing"))
    assert not any("httpRequest" in str(r.values) for r in resources if r.type == "google_logging_metric")


WORKER = "rawless-w-photo-upload@acme-production.iam.gserviceaccount.com"
PERSON = "ann@acme.example"


def _call(service: str, principal: str | None, *delegations: dict[str, Any]) -> dict[str, Any]:
    info = {"principalEmail": principal} if principal else {"principalSubject": "principal://iam.googleapis.com/w/ann"}
    return {
        "logName": DATA_ACCESS,
        "protoPayload": {
            "serviceName": f"{service}.googleapis.com",
            "authenticationInfo": {**info, "serviceAccountDelegationInfo": list(delegations)},
        },
    }


def _first(email: str) -> dict[str, Any]:
    return {"firstPartyPrincipal": {"principalEmail": email}}


BY_PERSON = {
    "reads an object": _call("storage", PERSON),
    "is known by the company's identity provider only": _call("storage", None),
    "asks for the token of a worker": _call("iamcredentials", PERSON),
    "reads as a worker": _call("storage", WORKER, _first(PERSON)),
    "reads as a worker through another account": _call("pubsub", WORKER, _first(PERSON), _first(WORKER)),
    "reads as a worker by an outside identity": _call("secretmanager", WORKER, {"thirdPartyPrincipal": {}}),
    "has an address like that of an account": _call("storage", WORKER, _first("ann@gserviceaccount.com.example")),
}
BY_ACCOUNT = {
    "a worker reads an object": _call("storage", WORKER),
    "a service of Google asks for the token of a worker": _call(
        "iamcredentials", "service-1@dataflow-service-producer-prod.iam.gserviceaccount.com"
    ),
    "a service of Google reads as a worker": _call("pubsub", WORKER, _first("1@cloudservices.gserviceaccount.com")),
}


@pytest.mark.parametrize(("metadata", "raises"), [({}, True), ({"dryRun": "true"}, False)])
def test_a_perimeter_that_only_logs_raises_no_alert(
    metadata: dict[str, str], raises: bool, resources: list[Resource]
) -> None:
    (text,) = [r.values["filter"] for r in resources if r.values.get("name") == "rawless/perimeter"]
    kind = "type.googleapis.com/google.cloud.audit.VpcServiceControlAuditMetadata"
    entry = {"logName": DATA_ACCESS, "protoPayload": {"metadata": {"@type": kind, **metadata}}}

    assert matches(text, entry) is raises


@pytest.mark.parametrize(("what", "raises"), [*((w, True) for w in BY_PERSON), *((w, False) for w in BY_ACCOUNT)])
def test_the_alert_sees_a_person_also_behind_a_service_account(
    what: str, raises: bool, resources: list[Resource]
) -> None:
    (text,) = [r.values["filter"] for r in resources if r.values.get("name") == "rawless/human_on_raw"]

    assert matches(text, {**BY_PERSON, **BY_ACCOUNT}[what]) is raises


@pytest.fixture(scope="module")
def sinks(resources: list[Resource]) -> dict[str, str]:
    """The filters of the sinks, by block and project."""
    return {
        resource.address: resource.values["filter"]
        for resource in resources
        if resource.type == "google_logging_project_sink"
    }


@pytest.mark.parametrize("what", RECORDS_WITH_CONTENT)
def test_a_record_that_may_contain_content_is_kept_in_the_locked_bucket_only(
    what: str, sinks: dict[str, str], resources: list[Resource]
) -> None:
    record = RECORDS_WITH_CONTENT[what]
    selecting = {address for address, text in sinks.items() if matches(text, record)}
    exclusions = [r.values for r in resources if r.block == "module.audit.google_logging_project_exclusion.records"]

    assert {values["project"] for values in exclusions if matches(values["filter"], record)} == {
        "acme-production",
        "acme-embeddings",
        "acme-audit",
    }

    assert selecting == {
        f'module.audit.google_logging_project_sink.records["{p}"]' for p in ("raw", "warehouse", "audit")
    }


@pytest.mark.parametrize("record", [TABLE_READ, TABLE_CHANGE])
def test_who_read_or_changed_a_table_is_copied_to_the_audit_dataset(
    record: dict[str, Any], sinks: dict[str, str]
) -> None:
    assert matches(sinks["module.audit.google_logging_project_sink.table_access"], record)
