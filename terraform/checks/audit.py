"""Audit logs: everything is logged, complete records are locked away, and copies contain no content."""

from collections.abc import Iterator, Sequence

from terraform.checks.plan import Resource

_ALL_TYPES = {"ADMIN_READ", "DATA_READ", "DATA_WRITE"}
_EXEMPT_SERVICES = {"pubsub.googleapis.com", "storage.googleapis.com"}
"""Where each read of a job is an event with a row of its own."""
_EVERY_RECORD = 'logName:"cloudaudit.googleapis.com"'
_TABLE_ACCESS = "(protoPayload.metadata.tableDataRead:* OR protoPayload.metadata.tableDataChange:*)"
"""The records that name tables, columns and jobs, but neither objects nor the text of a query."""
_NO_ERRORS = "NOT protoPayload.status.message:*"
_DAYS = 400


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """Calls that are not logged, records that can be deleted, and copies of records that may contain content."""
    projects = {r.values["project"] for r in resources if r.type == "google_project_service"}
    yield from _unlogged(projects, [r for r in resources if r.type == "google_project_iam_audit_config"])
    yield from _unlocked([r for r in resources if r.type == "google_logging_project_bucket_config"], resources)
    sinks = [r for r in resources if r.type == "google_logging_project_sink"]
    yield from _sink_violations(projects, sinks)


def _unlogged(projects: set[str], configs: Sequence[Resource]) -> Iterator[str]:
    for config in configs:
        for entry in config.values["audit_log_config"]:
            exempted = entry["exempted_members"] or []
            allowed = config.values["service"] in _EXEMPT_SERVICES and entry["log_type"] == "DATA_READ"
            yield from (
                f"{config.address} does not log what {member} does"
                for member in exempted
                if not (allowed and "-w-" in member)
            )
    logged = {
        config.values["project"]
        for config in configs
        if config.values["service"] == "allServices"
        if {entry["log_type"] for entry in config.values["audit_log_config"]} == _ALL_TYPES
    }
    yield from (f"Not every call in {project} is logged" for project in sorted(projects - logged))


def _unlocked(buckets: Sequence[Resource], resources: Sequence[Resource]) -> Iterator[str]:
    used = {r.values["project"] for r in resources if r.type in ("google_pubsub_topic", "google_bigquery_dataset")}
    for bucket in buckets:
        if not bucket.values["locked"] or (bucket.values["retention_days"] or 0) < _DAYS:
            yield f"{bucket.address} is not locked for {_DAYS} days"
        if not bucket.values["cmek_settings"]:
            yield f"{bucket.address} is not encrypted with a customer-managed key"
        if bucket.values["project"] in used:
            yield f"{bucket.address} is in a project whose calls it records"


def _sink_violations(projects: set[str], sinks: Sequence[Resource]) -> Iterator[str]:
    complete = set()
    for sink in sinks:
        filter_ = sink.values["filter"]
        if sink.values["destination"].startswith("logging.googleapis.com/"):
            if filter_ == _EVERY_RECORD and not sink.values["exclusions"]:
                complete.add(sink.values["project"])
        elif _TABLE_ACCESS not in filter_ or _NO_ERRORS not in filter_:
            yield f"{sink.address} copies records with object names, queries or errors"
    yield from (f"The records of {project} are not kept completely" for project in sorted(projects - complete))
