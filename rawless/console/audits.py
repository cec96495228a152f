"""The page on audits: leakage, membership, canaries and waivers, and what is overdue."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rawless.console import parts
from rawless.console.heads import live_versions
from rawless.console.reads import Window
from rawless.console.source import Source, View
from rawless.overview.heads import HeadSummary
from rawless.overview.streams import StreamSummary
from rawless.report.privacy import PrivacyReport
from rawless.report.privacy_commands import Commands
from rawless.report.privacy_findings import LEVELS, Finding, findings
from rawless.report.privacy_sections import CanaryRun, LeakageMeasure, StoredStream, Waiver

AUDIT_DAYS = 90
"""An audit that is older counts as overdue, unless a stream file has a shorter `max_age`, which is not known here."""
SECTIONS = ("canary", "leakage", "waivers", "erasures")
"""What `rawless report privacy` says of more needs stream files, or reads all rows."""


@dataclass(frozen=True)
class AuditsView(View):
    """The page."""

    findings: Sequence[Finding]
    """What is wrong, unchecked or an open exception, in this order."""
    canaries: Sequence[CanaryRun]
    leakage: Sequence[LeakageMeasure]
    membership: Sequence[LeakageMeasure]
    waivers: Sequence[Waiver]
    made_at: datetime

    def is_old(self, at: datetime) -> bool:
        """Return whether an audit of that time is overdue."""
        return self.made_at - at > timedelta(days=AUDIT_DAYS)


def read(source: Source, window: Window, now: datetime) -> AuditsView:
    """Return the page on audits. Streams and encoders without an audit are those with rows in the days shown."""
    reads = source.reads
    for read_part in (parts.canaries, parts.leakage, parts.erasures, parts.heads):
        reads.start(read_part)
    reads.start(parts.waivers, now)
    canaries, leakage, waivers, erasures, streams, heads = (
        parts.canaries(reads), parts.leakage(reads), parts.waivers(reads, now), parts.erasures(reads),
        parts.streams(reads, window), parts.heads(reads),
    )  # fmt: skip
    report = PrivacyReport(now, source.project, AUDIT_DAYS)
    report.streams = list(_stored(streams.value))
    report.canaries, report.erasures = canaries.value, erasures.value
    report.leakage = _named(leakage.value, streams.value)
    report.waivers = [replace(each, in_force=each.expires_at > now) for each in waivers.value]
    report.unread = {
        section: part.problem
        for section, part in (("canary", canaries), ("leakage", leakage), ("waivers", waivers), ("erasures", erasures))
        if part.problem
    }
    commands = Commands(reads.warehouse, source.warehouse_file, {}, AUDIT_DAYS)
    # What could not be read is said above all parts of the page.
    found = [
        each
        for each in findings(report, commands)
        if each.section in SECTIONS and report.unread.get(each.section, "\0") not in each.sentence
    ]
    found += _overdue(report, commands)
    if leakage.problem is None:
        found += _never_attacked(source, heads.value, report.leakage, commands)
    return AuditsView(
        parts=[canaries, leakage, waivers, erasures, streams, heads],
        commands=[source.command("report", "privacy"), source.command("audit", "waivers")],
        findings=sorted(found, key=lambda each: LEVELS.index(each.level)),
        canaries=canaries.value,
        leakage=[each for each in report.leakage if each.head is None],
        membership=[each for each in report.leakage if each.head is not None],
        waivers=report.waivers,
        made_at=now,
    )


def _stored(streams: Sequence[StreamSummary]) -> Iterable[StoredStream]:
    for stream in streams:
        for each in stream.encoders:
            if each.last_at:
                yield StoredStream(
                    stream.stream, each.encoder, each.fingerprint, each.events, 0, each.last_at, each.last_at
                )


def _named(leakage: Sequence[LeakageMeasure], streams: Sequence[StreamSummary]) -> list[LeakageMeasure]:
    """Return measures with the names of encoders that are not registered, as far as streams have them."""
    names = {each.fingerprint: each.encoder for stream in streams for each in stream.encoders}
    return [replace(each, encoder=names.get(each.encoder_fingerprint, each.encoder)) for each in leakage]


def _overdue(report: PrivacyReport, commands: Commands) -> Iterable[Finding]:
    """Yield a finding for each encoder and head whose last audit is too old."""
    last: dict[tuple[str, str | None], datetime] = {}
    for each in report.leakage:
        key = each.encoder, each.head
        last[key] = max(each.audited_at, last.get(key, each.audited_at))
    for (encoder, head), at in last.items():
        if report.made_at - at > timedelta(days=AUDIT_DAYS):
            command = commands.membership(head) if head else commands.leakage(encoder, None)
            yield Finding(
                "unchecked", "leakage", f"The last audit of {head or encoder} is from {at:%Y-%m-%d}.", command
            )


def _never_attacked(
    source: Source, heads: Sequence[HeadSummary], leakage: Sequence[LeakageMeasure], commands: Commands
) -> Iterable[Finding]:
    """Yield a finding for each live head whose membership leakage was never measured."""
    attacked = {each.head for each in leakage}
    live, _ = live_versions(source.head_folder, [head.head for head in heads])
    for head in heads:
        for version in live.get(head.head, ()):
            if (name := f"{head.head}@{version}") not in attacked:
                sentence = f"How well {name}, which is live, tells its training rows was never measured."
                yield Finding("unchecked", "leakage", sentence, commands.membership(name))
