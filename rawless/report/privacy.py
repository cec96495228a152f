"""The report on privacy: what was measured, what is open, and what is wrong now, each with a command that checks it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from rawless.errors import UserError
from rawless.report import privacy_sections as sections
from rawless.report.privacy_commands import Commands
from rawless.report.privacy_findings import Finding, findings
from rawless.report.privacy_sections import (
    Access,
    CanaryRun,
    Erasure,
    Export,
    GivenStream,
    Inspections,
    LeakageMeasure,
    Reader,
    SideDoor,
    StoredStream,
    Waiver,
)
from rawless.warehouse import inventory
from rawless.warehouse.client import Warehouse
from rawless.warehouse.inventory import KeptDataset, KeptTable
from rawless.warehouse.leakage_gate import GatedMetric

T = TypeVar("T")


@dataclass
class PrivacyReport:
    """Everything that the report says. `--json` prints it as it is; the page shows the same."""

    made_at: datetime
    project: str
    since_days: int
    """How far back readers and inspections are counted, and how old a canary may be."""
    findings: list[Finding] = field(default_factory=list)
    """What is wrong, unchecked or an open exception, in this order."""
    commands: dict[str, list[str]] = field(default_factory=dict)
    """The commands that check a section again, by section."""
    unread: dict[str, str] = field(default_factory=dict)
    """Why a section could not be read, by section."""
    given: list[GivenStream] = field(default_factory=list)
    streams: list[StoredStream] = field(default_factory=list)
    canaries: list[CanaryRun] = field(default_factory=list)
    leakage: list[LeakageMeasure] = field(default_factory=list)
    gates: list[GatedMetric] = field(default_factory=list)
    waivers: list[Waiver] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    inspections: list[Inspections] = field(default_factory=list)
    tables: list[KeptTable] = field(default_factory=list)
    datasets: list[KeptDataset] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    side_doors: list[SideDoor] = field(default_factory=list)

    def read(self, section: str, read: Callable[[], T], otherwise: T) -> T:
        """Return what `read` returns; if this account may not read it, note why and return `otherwise`."""
        try:
            return read()
        except UserError as error:
            self.unread[section] = str(error)
            return otherwise


def privacy_report(
    warehouse: Warehouse,
    stream_files: Sequence[Path],
    since: timedelta,
    accesses: Callable[[datetime], Iterable[Access]],
    warehouse_file: Path | None = None,
    now: datetime | None = None,
) -> PrivacyReport:
    """Read the report. `accesses` returns the accesses to tables with embeddings since a time.

    A section that this account may not read is left empty and named in `unread`.

    Raises UserError for a stream file that is not valid, Unavailable when the warehouse does not answer.
    """
    now = now or datetime.now(UTC)
    report = PrivacyReport(made_at=now, project=warehouse.config.project, since_days=since.days)
    report.given = [sections.given_stream(file) for file in stream_files]
    report.streams = report.read("streams", lambda: sections.stored_streams(warehouse), [])
    report.canaries = report.read("canary", lambda: sections.canaries(warehouse), [])
    names = {each.encoder_fingerprint: each.encoder for each in report.streams}
    report.leakage = report.read("leakage", lambda: sections.leakage(warehouse, names), [])
    for each in report.given:
        report.gates += report.read("gates", partial(sections.gates, warehouse, each, now), [])
    report.waivers = report.read("waivers", lambda: sections.waivers(warehouse, names, now), [])
    report.readers = report.read("readers", lambda: sections.readers(accesses(now - since)), [])
    report.inspections = report.read("inspections", lambda: sections.inspections(warehouse, now - since), [])
    report.tables = report.read("retention", lambda: inventory.kept_tables(warehouse), [])
    report.datasets = report.read("retention", lambda: inventory.kept_datasets(warehouse), [])
    report.erasures = report.read("erasures", lambda: sections.erasures(warehouse), [])
    report.exports = report.read("exports", lambda: sections.exports(warehouse), [])
    report.side_doors = report.read(
        "side-doors", lambda: sections.side_doors(warehouse, report.streams, report.datasets), []
    )
    files = {each.stream: each.file for each in report.given}
    commands = Commands(warehouse, warehouse_file, files, since.days)
    report.commands = commands.by_section(sorted({each.head for each in report.leakage if each.head}))
    report.findings = findings(report, commands)
    return report
