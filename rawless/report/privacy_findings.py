"""What the report on privacy puts first: what is wrong, what was never checked, and which exceptions are open."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from rawless.quantities import counted
from rawless.report.privacy_commands import Commands
from rawless.report.privacy_sections import CanaryRun, LeakageMeasure
from rawless.warehouse.leakage_gate import METRICS_OF_HEADS

if TYPE_CHECKING:
    from rawless.report.privacy import PrivacyReport

Level = Literal["wrong", "unchecked", "exception"]
LEVELS: tuple[Level, ...] = ("wrong", "unchecked", "exception")
_SOON = timedelta(days=14)
_STATES = {
    "above": "may leak more than its limit allows",
    "missing": "was never measured",
    "old": "was measured too long ago",
}
_DOORS = {
    "copy of vectors": "{where} has vectors, but is no table of Rawless: neither erasure nor audits know it.",
    "dataset open to everybody": "The dataset {where} is given to more than named accounts.",
    "service without access tokens": "A service without access tokens logged {count:,} events of {where}.",
}


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict, and the command that checks it again or is the next step."""

    level: Level
    section: str
    sentence: str
    command: str


def findings(report: "PrivacyReport", commands: Commands) -> list[Finding]:
    """Return the findings of a report, the worst first."""
    found = [
        *_unread(report, commands),
        *_canary(report, commands),
        *_gates(report, commands),
        *_leakage(report, commands),
        *_streams(report, commands),
        *_waivers(report, commands),
        *_retention(report, commands),
        *_erasures(report, commands),
        *_exports(report, commands),
        *_doors(report, commands),
    ]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def _unread(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    for section, reason in report.unread.items():
        command = report.commands.get(section, [commands.report()])[0]
        yield Finding("unchecked", section, f"The section could not be read: {reason}", command)


def _canary(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    for run in report.canaries:
        yield from _of_run(report, run, commands.canary(run.stream))
    if "canary" in report.unread:
        return
    streams = [*(each.stream for each in report.given), *(each.stream for each in report.streams)]
    searched = {run.stream for run in report.canaries}
    for stream in dict.fromkeys(name for name in streams if name not in searched):
        yield Finding("unchecked", "canary", f"No canary was ever run for {stream}.", commands.canary(stream))


def _of_run(report: "PrivacyReport", run: CanaryRun, command: str) -> Iterator[Finding]:
    for sink in run.sinks:
        if sink.traces:
            sentence = f"The canary of {run.stream} found {counted(sink.traces, 'trace')} of content in {sink.sink}."
            yield Finding("wrong", "canary", sentence, command)
    if run.not_searched:
        names = ", ".join(sink.sink for sink in run.not_searched)
        sentence = f"The canary of {run.stream} could not search everything in {names}."
        yield Finding("unchecked", "canary", sentence, command)
    if report.made_at - run.audited_at > timedelta(days=report.since_days):
        sentence = f"The last canary of {run.stream} is from {run.audited_at:%Y-%m-%d}."
        yield Finding("unchecked", "canary", sentence, command)


def _gates(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    for gate in report.gates:
        if not gate.passes:
            measured = "" if gate.measured is None else f": up to {gate.measured:.3f}, at most {gate.allowed_max:g}"
            sentence = f"{gate.metric} of {gate.encoder} for {gate.stream} {_STATES[gate.state]}{measured}."
            is_of_head = gate.metric.startswith(METRICS_OF_HEADS)
            check = commands.membership("HEAD") if is_of_head else commands.leakage(gate.encoder, gate.stream)
            yield Finding("wrong", "gates", sentence, check)


def _leakage(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    def key(measure: LeakageMeasure) -> tuple[str, str]:
        return measure.encoder, measure.attack

    for (encoder, attack), measures in groupby(sorted(filter(_is_broken, report.leakage), key=key), key):
        metrics = ", ".join(measure.metric for measure in measures)
        sentence = (
            f"The controls of the attack {attack} on {encoder} find more than a guess: {metrics} may mean nothing."
        )
        yield Finding("unchecked", "leakage", sentence, commands.leakage(encoder, None))


def _is_broken(measure: LeakageMeasure) -> bool:
    return measure.is_broken


def _streams(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    audited = {measure.encoder_fingerprint for measure in report.leakage}
    for stored in report.streams:
        if stored.encoder_fingerprint not in audited and "leakage" not in report.unread:
            sentence = f"No leakage audit was ever run on {stored.encoder}, which {stored.stream} has embeddings of."
            yield Finding("unchecked", "leakage", sentence, commands.leakage(stored.encoder, stored.stream))
    given = {each.stream: each for each in report.given}
    for name in dict.fromkeys(stored.stream for stored in report.streams if stored.stream not in given):
        sentence = (
            f"{name} has embeddings, but its stream file was not given: whether it has a leakage gate is unknown."
        )
        yield Finding("unchecked", "gates", sentence, commands.report(name))
    for each in report.given:
        if not each.gated_metrics:
            sentence = f"{each.stream} has no leakage gate: nothing limits what its embeddings may leak."
            yield Finding("exception", "gates", sentence, commands.gate(each.stream))


def _waivers(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    for waiver in report.waivers:
        if waiver.in_force:
            soon = ", which is soon" if waiver.expires_at - report.made_at < _SOON else ""
            sentence = (
                f"The limit of {waiver.metric} for {waiver.stream} is waived for {waiver.encoder} until "
                f"{waiver.expires_at:%Y-%m-%d}{soon} ({waiver.reason}, {waiver.ticket})."
            )
            yield Finding("exception", "waivers", sentence, commands.waivers())


def _retention(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    for kept in report.tables:
        if kept.differs:
            says, does = _days(kept.declared_days), _days(kept.deployed_days)
            sentence = f"{kept.table} keeps its rows {does}, but its schema says {says}."
            yield Finding("wrong", "retention", sentence, commands.doctor())


def _erasures(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    for erasure in report.erasures:
        begun = f"{erasure.certificate_id} of {erasure.started_at:%Y-%m-%d}"
        command = commands.erasure(erasure.certificate_id)
        if erasure.finished_at is None:
            sentence = f"The erasure {begun} is not finished: run the same command again."
            yield Finding("wrong", "erasures", sentence, command)
        by_hand = [
            *([f"{counted(erasure.exports_to_delete, 'export')} to delete by hand"] * bool(erasure.exports_to_delete)),
            *([f"{counted(erasure.heads_to_retrain, 'head')} to retrain"] * bool(erasure.heads_to_retrain)),
        ]
        if by_hand:
            sentence = f"The erasure {begun} listed {' and '.join(by_hand)}."
            yield Finding("exception", "erasures", sentence, command)


def _exports(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    if report.exports:
        exports = f"{counted(len(report.exports), 'export')} of snapshots"
        sentence = f"{exports} in the open: files that no query, expiry or erasure of Rawless reaches."
        yield Finding("exception", "exports", sentence, commands.exports())


def _doors(report: "PrivacyReport", commands: Commands) -> Iterator[Finding]:
    for door in report.side_doors:
        level: Level = "exception" if door.door == "service without access tokens" else "wrong"
        sentence = _DOORS[door.door].format(where=door.where, count=door.count)
        yield Finding(level, "side-doors", sentence, commands.report())


def _days(days: float | None) -> str:
    return "for ever" if days is None else f"for {days:g} days"
