"""Search what a deployed pipeline writes outside of the warehouse: logs, metrics, buckets and services."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import httpx
from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError

from rawless.audit.canary.findings import Findings, Reason
from rawless.errors import RawlessError
from rawless.loopback import check_storage_address

_PAGE = 1000
_LARGEST = 1 << 28
"""Bytes of an object that is searched."""
_COUNTERS = 'metric.type = "dataflow.googleapis.com/job/user_counter"'
_PATHS = ("/health", "/ready", "/openapi.json", "/docs", "/v1/heads", "/v1/models")
_REFUSED = (401, 403)
_SECONDS = 30.0
SETTLE_SECONDS = 60.0
"""For how long the audit waits until logs have arrived; a quiet project has none to wait for."""
_POLL_SECONDS = 3.0


class NoPermission(Exception):
    """This account may not read what was requested."""


class Rest(Protocol):
    """Google's REST APIs. Its requests raise NoPermission, or RawlessError if an API does not answer."""

    def get(self, service: str, path: str, **query: Any) -> dict[str, Any] | None:
        """Return the JSON answer to a GET request, or None if there is no such resource."""

    def post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the JSON answer to a POST request, or None if there is no such resource."""


def search_projects(findings: Findings, rest: Rest, projects: Sequence[str], since: datetime, now: datetime) -> None:
    """Search the logs of projects, and the counters of their jobs, since a time."""
    start, end = since.isoformat(), now.isoformat()
    _wait_for_logs(rest, projects, now)
    for project in projects:
        body = {"resourceNames": [f"projects/{project}"], "filter": f'timestamp >= "{start}"', "pageSize": _PAGE}
        _search_pages(findings, "cloud_logging", f"logs of {project}", partial(_entries, rest, body))
        query = {"filter": _COUNTERS, "interval.startTime": start, "interval.endTime": end, "pageSize": _PAGE}
        counters = partial(_time_series, rest, project, query)
        _search_pages(findings, "job_metrics", f"counters of {project}", counters)
    findings.miss("worker_disks", "no_interface")
    findings.miss("messages", "no_interface")


def _wait_for_logs(rest: Rest, projects: Sequence[str], now: datetime) -> None:
    """Wait until each project has an entry that is newer than the last row, so that earlier ones have arrived, too."""
    deadline = time.monotonic() + SETTLE_SECONDS
    for project in projects:
        body = {"resourceNames": [f"projects/{project}"], "filter": f'timestamp >= "{now.isoformat()}"', "pageSize": 1}
        with suppress(NoPermission, RawlessError):  # which the search itself reports
            while not (_entries(rest, body, {}) or {}).get("entries") and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)  # then the condition is tested again


def _entries(rest: Rest, body: dict[str, Any], page: dict[str, str]) -> dict[str, Any] | None:
    return rest.post("logging", "v2/entries:list", body | page)


def _time_series(rest: Rest, project: str, query: dict[str, Any], page: dict[str, str]) -> dict[str, Any] | None:
    return rest.get("monitoring", f"v3/projects/{project}/timeSeries", **query, **page)


def _search_pages(
    findings: Findings, code: str, place: str, request: Callable[[dict[str, str]], dict[str, Any] | None]
) -> None:
    page: dict[str, str] = {}
    while True:
        try:
            answer = request(page) or {}
        except NoPermission:
            return findings.miss(code, "no_permission")
        except RawlessError:
            return findings.miss(code, "no_answer")
        findings.in_bytes(code, json.dumps(answer, ensure_ascii=False).encode(errors="replace"), place)
        if not answer.get("nextPageToken"):
            return None
        page = {"pageToken": answer["nextPageToken"]}


def search_buckets(findings: Findings, locations: Sequence[str], since: datetime) -> None:
    """Search the objects below locations such as gs://BUCKET/FOLDER/ that were written since a time."""
    if not locations:
        return findings.miss("buckets", "not_named")
    check_storage_address()
    from google.cloud.storage import Client  # takes half a second

    for location in locations:
        bucket, _, prefix = location.removeprefix("gs://").partition("/")
        try:
            client = Client()
            blobs = [blob for blob in client.list_blobs(bucket, prefix=prefix) if blob.updated >= since]
            names = "\n".join(str(blob._properties) for blob in blobs)
            findings.in_bytes("buckets", names.encode(errors="replace"), f"names of objects in {bucket}")
            for blob in blobs:
                _search_object(findings, blob)
        except (Forbidden, NotFound):
            findings.miss("buckets", "no_permission")
        except (GoogleAPIError, GoogleAuthError, OSError):
            findings.miss("buckets", "no_answer")
    return None


def _search_object(findings: Findings, blob: Any) -> None:
    if blob.size > _LARGEST:
        findings.miss("buckets", "not_read_to_end")
        return
    try:
        data = blob.download_as_bytes()
    except NotFound:
        return  # it was deleted meanwhile
    findings.in_bytes("buckets", data, f"gs://{blob.bucket.name}/{blob.name}")


def search_services(findings: Findings, urls: Sequence[str], token: str | None) -> None:
    """Search what services at these addresses tell without content: metrics, health and descriptions."""
    if not urls:
        findings.miss("service_pages", "not_named")
        findings.miss("service_metrics", "not_named")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    for url in urls:
        for path in ("/metrics", *_PATHS):
            code = "service_metrics" if path == "/metrics" else "service_pages"
            if reason := _search_page(findings, code, url.rstrip("/") + path, headers):
                findings.miss(code, reason)


def _search_page(findings: Findings, code: str, url: str, headers: dict[str, str]) -> Reason | None:
    try:
        answer = httpx.get(url, headers=headers, timeout=_SECONDS)
    except httpx.HTTPError:
        return "no_answer"
    findings.in_bytes(code, repr(answer.headers).encode() + answer.content, url)
    return "no_permission" if answer.status_code in _REFUSED else None
