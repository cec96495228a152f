"""Run the audit: send canaries, wait for them, search every sink in reach, and record what was found."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rawless.audit.canary import cloud, delivery, machine
from rawless.audit.canary.cloud import Rest
from rawless.audit.canary.events import AGE, FEWEST_ID_BITS, Canaries
from rawless.audit.canary.findings import Finding, Findings
from rawless.audit.canary.markers import Markers
from rawless.audit.canary.warehouse import search_warehouse
from rawless.audit.search import Search, Trace
from rawless.connect import open_pubsub, open_warehouse
from rawless.errors import UserError
from rawless.events.pubsub import check_name
from rawless.events.stream import Stream
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import CanaryRow

_MOST_PLACES = 20
"""Places of traces that are reported for each sink."""
_HIDDEN = "(a name that contains a marker)"


@dataclass(frozen=True)
class Request:
    """What to audit, and what to search beside what is always searched."""

    stream: Stream
    topic: str | None = None
    """The topic of a deployed pipeline; without one the audit runs the stream's job itself, on the local stack."""
    warehouse: Path | None = None
    timeout: float = 600.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    folders: tuple[Path, ...] = ()
    buckets: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    service_token: str | None = field(default=None, repr=False)
    rest: Rest | None = field(default=None, repr=False)
    """Google's APIs, for a pipeline on Google Cloud."""


@dataclass(frozen=True)
class Audit:
    """The outcome of an audit."""

    audit_id: str
    stream: str
    audited_at: datetime
    delivery: delivery.Delivery
    markers: int
    pictures: int
    findings: tuple[Finding, ...]
    shown: dict[Trace, dict[str, str]] = field(repr=False)
    seconds: float
    has_short_ids: bool

    @property
    def traces(self) -> int:
        """The number of traces in all sinks."""
        return sum(len(finding.traces) for finding in self.findings)

    def report(self) -> dict[str, Any]:
        """Return everything as JSON values. No marker is part of it."""
        return {
            "audit_id": self.audit_id,
            "stream": self.stream,
            "audited_at": self.audited_at.isoformat(),
            "published": self.delivery.published,
            "embedded": self.delivery.embedded,
            "rejected": self.delivery.rejected,
            "markers": self.markers,
            "pictures": self.pictures,
            "bytes": sum(finding.bytes for finding in self.findings),
            "traces": self.traces,
            "seconds": round(self.seconds, 1),
            "sinks": [self._sink(finding) for finding in self.findings],
        }

    def _sink(self, finding: Finding) -> dict[str, Any]:
        shown = sorted((self.shown[trace] for trace in finding.traces), key=lambda trace: tuple(trace.values()))
        return {
            "sink": finding.sink.code,
            "what": finding.sink.what,
            "status": finding.status,
            "places": finding.places,
            "bytes": finding.bytes,
            "missed": dict(finding.missed),
            "by_hand": finding.sink.by_hand if finding.missed else None,
            "traces": len(finding.traces),
            "found": shown[:_MOST_PLACES],
        }


def audit(request: Request) -> Audit:
    """Send canaries through a pipeline and search every sink in reach for their markers; `record` stores the result.

    Raises UserError for a request that cannot be run, RawlessError if the canaries do not pass the pipeline.
    """
    _check(request)
    warehouse = open_warehouse(request.warehouse)
    markers = Markers()
    has_short_ids = request.stream.id_bits < FEWEST_ID_BITS
    ids = delivery.unused_ids(warehouse, request.stream, markers.chance) if has_short_ids else None
    events = Canaries(request.stream, markers, ids).events()
    started, clock = datetime.now(UTC), time.monotonic()
    output, processes = machine.Output(), machine.Processes()
    with processes:
        if request.topic is None:
            delivered = delivery.run_job(request.stream, events, request.device, output)
        else:
            delivered = delivery.publish_to(request.topic, open_pubsub(request.warehouse), events, output)
        delivery.wait(warehouse, request.stream, events, started, request.timeout, delivered)
    findings = Findings(Search(markers.contents, markers.pictures))
    _search(findings, request, warehouse, started)
    output.search(findings)
    processes.search(findings)
    if request.topic is None:
        findings.in_bytes("summary", repr(delivered.summary).encode(), "the summary of the job")
        findings.in_bytes("job_metrics", delivered.metrics.encode(), "the metrics of the job")
    return Audit(
        audit_id=secrets.token_hex(12),
        stream=request.stream.stream,
        audited_at=datetime.now(UTC),
        delivery=delivered,
        markers=len(markers.contents),
        pictures=len(markers.pictures),
        findings=tuple(findings),
        shown={trace: _shown(trace, findings, markers) for each in findings for trace in each.traces},
        seconds=time.monotonic() - clock,
        has_short_ids=has_short_ids,
    )


def record(done: Audit, warehouse: Path | None) -> None:
    """Append a row for each sink to `canary_v1`. Raises UserError if this account may not."""
    append_all(open_warehouse(warehouse), _rows(done))


def _check(request: Request) -> None:
    if request.topic is not None:
        check_name(request.topic, "topics", "--topic")
    elif request.warehouse is not None:
        raise UserError(
            "--topic is missing: with --warehouse, name the topic that the deployed job of the stream reads."
        )
    for location in request.buckets:
        if not location.startswith("gs://"):
            raise UserError(f"--bucket is {location!r}, but must be gs://BUCKET or gs://BUCKET/FOLDER/.")
    for url in request.services:
        if not url.startswith(("http://", "https://")):
            raise UserError(f"--service is {url!r}, but must be a URL such as https://HOST.")
    for folder in request.folders:
        if not folder.is_dir():
            raise UserError(f"--folder names {folder}, but there is no such folder.")


def _search(findings: Findings, request: Request, warehouse: Warehouse, started: datetime) -> None:
    search_warehouse(findings, warehouse, started, started - 2 * AGE)
    machine.search_files(findings, started.timestamp(), request.folders)
    cloud.search_services(findings, request.services, request.service_token)
    if request.rest is not None:
        projects = sorted({warehouse.config.project, *_project(request.topic)})
        cloud.search_projects(findings, request.rest, projects, started, datetime.now(UTC))
    if request.rest is not None or request.buckets:
        cloud.search_buckets(findings, request.buckets, started)


def _project(topic: str | None) -> Sequence[str]:
    return () if topic is None else (topic.split("/")[1],)


def _shown(trace: Trace, findings: Findings, markers: Markers) -> dict[str, str]:
    """Describe a trace. Its place may be named after a marker, by whoever leaked it."""
    place = _HIDDEN if findings.search.in_bytes(trace.place.encode(errors="replace"), "place") else trace.place
    return {"place": place, "spelling": trace.spelling, "marker": markers.place_of(trace.content)}


def _rows(done: Audit) -> list[CanaryRow]:
    return [
        CanaryRow(
            audit_id=done.audit_id,
            stream=done.stream,
            sink=finding.sink.code,
            status=finding.status,
            reason=finding.reason,
            bytes=finding.bytes,
            markers=done.markers,
            traces=len(finding.traces),
            audited_at=done.audited_at,
        )
        for finding in done.findings
    ]
