"""The parts of a canary's search that only a deployment has, against a server with the protocols of Google's APIs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rawless.audit.canary.cloud import search_buckets, search_projects, search_services
from rawless.audit.canary.findings import Findings
from rawless.audit.search import Search
from rawless.cli.commands.audit_canary import google_rest
from tests.fake_google import FakeGoogle, credentials_file, fake_google, refused

MARKER = b"kelovanitumasobe"
NOW = datetime.now(UTC)
SINCE = NOW - timedelta(minutes=5)
LOGS, COUNTERS = "POST /v2/entries:list", "GET /v3/projects/a-project/timeSeries"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGoogle]:
    with fake_google() as server:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials_file(server, tmp_path)))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setattr("rawless.audit.canary.cloud._POLL_SECONDS", 0.0)
        yield server


@pytest.fixture
def findings() -> Findings:
    return Findings(Search([MARKER]))


def test_all_pages_of_the_logs_are_searched(google: FakeGoogle, findings: Findings) -> None:
    def entries(request: dict[str, str]) -> tuple[int, object]:
        assert request["resourceNames"] == ["projects/a-project"]
        if NOW.isoformat() in request["filter"]:
            return 200, {"entries": [{}] if len(google.requests) > 3 else []}
        assert SINCE.isoformat() in request["filter"]
        if "pageToken" not in request:
            return 200, {"entries": [{"textPayload": "read 3 events"}], "nextPageToken": "second"}
        return 200, {"entries": [{"jsonPayload": {"message": f"read {MARKER.decode().title()}"}}]}

    google.answers[LOGS] = entries
    google.answers[COUNTERS] = {}

    search_projects(findings, google_rest(google.url), ["a-project"], SINCE, NOW)

    assert (findings.of("cloud_logging").status, findings.of("cloud_logging").places) == ("traces", 2)
    assert google.requests.count(LOGS) > 3, "it did not wait for the logs"
    assert findings.of("job_metrics").status == "clean"
    assert findings.of("worker_disks").status == findings.of("messages").status == "unreachable"


def test_what_may_not_be_read_is_named_with_its_reason(google: FakeGoogle, findings: Findings) -> None:
    google.answers[LOGS] = refused(403, "PERMISSION_DENIED")
    google.answers[COUNTERS] = refused(500, "INTERNAL")

    search_projects(findings, google_rest(google.url), ["a-project"], SINCE, NOW)

    assert (findings.of("cloud_logging").status, findings.of("cloud_logging").reason) == (
        "unreachable",
        "no_permission",
    )
    assert (findings.of("job_metrics").status, findings.of("job_metrics").reason) == ("unreachable", "no_answer")


def test_objects_that_were_written_since_are_searched(google: FakeGoogle, findings: Findings) -> None:
    def described(name: str, updated: datetime) -> dict[str, str]:
        at = f"{updated:%Y-%m-%dT%H:%M:%SZ}"
        return {"name": name, "bucket": "temp", "size": "40", "updated": at, "timeCreated": at, "generation": "1"}

    old, new = described("jobs/old", SINCE - timedelta(hours=1)), described("jobs/new", NOW)
    google.answers["GET /storage/v1/b/temp/o"] = {"items": [old, new]}
    google.answers["GET /download/storage/v1/b/temp/o/jobs/new"] = lambda _: (200, b"left behind: " + MARKER)

    search_buckets(findings, ["gs://temp/jobs/"], SINCE)

    assert {trace.place for trace in findings.of("buckets").traces} == {"gs://temp/jobs/new"}
    assert "GET /download/storage/v1/b/temp/o/jobs/old" not in google.requests


def test_a_bucket_that_may_not_be_listed_is_named(google: FakeGoogle, findings: Findings) -> None:
    google.answers["GET /storage/v1/b/temp/o"] = refused(403, "PERMISSION_DENIED")

    search_buckets(findings, ["gs://temp"], SINCE)

    assert (findings.of("buckets").status, findings.of("buckets").reason) == ("unreachable", "no_permission")


def test_the_pages_of_a_service_are_searched(google: FakeGoogle, findings: Findings) -> None:
    google.answers["GET /metrics"] = lambda _: (200, b'rawless_requests_total{route="' + MARKER + b'"} 1')
    google.answers["GET /openapi.json"] = refused(401, "UNAUTHENTICATED")

    search_services(findings, [google.url], None)

    assert findings.of("service_metrics").status == "traces"
    assert (findings.of("service_pages").status, findings.of("service_pages").reason) == ("partial", "no_permission")
