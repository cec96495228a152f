"""Render the report on privacy as one HTML document that loads nothing."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rawless.quantities import format_bytes
from rawless.report.document import template, write_document
from rawless.report.privacy import PrivacyReport
from rawless.report.privacy_findings import LEVELS, Finding
from rawless.report.privacy_sections import LeakageMeasure

_WIDTH, _MARGIN = 240, 8
SECTIONS = {
    "canary": "Canaries",
    "leakage": "Leakage",
    "gates": "Leakage gates",
    "waivers": "Waivers",
    "readers": "Readers",
    "inspections": "Inspections",
    "retention": "Retention",
    "erasures": "Erasures",
    "exports": "Exports",
    "side-doors": "Side doors",
}
"""The titles of the sections in the order of the page."""


@dataclass(frozen=True)
class Strip:
    """Where a measure, its interval, its controls and its limit are on a scale from 0 to 1, in pixels."""

    value: float
    low: float
    high: float
    prior: float | None
    control: float
    shuffled: float | None
    limit: float | None
    alt_text: str


@dataclass(frozen=True)
class Audited:
    """The measures of one encoder, or of one head of it, for one stream or for all."""

    encoder: str
    head: str | None
    stream: str | None
    rows: list[tuple[LeakageMeasure, float | None, Strip]]
    """Each measure with its limit, if a given stream has one."""


def write(report: PrivacyReport, path: Path) -> None:
    """Write the report to `path`, readable by its owner only (mode 0600). Raises UserError if it cannot be written."""
    write_document(path, render(report))


def render(report: PrivacyReport) -> str:
    """Return the report as HTML."""
    return template("privacy.html.j2", bytes=format_bytes, number=_number).render(
        report=report, sections=SECTIONS, by_level=_by_level(report.findings), audited=_audited(report),
        verdict=verdict(report), is_empty=not (report.given or report.streams), width=_WIDTH, margin=_MARGIN,
    )  # fmt: skip


def verdict(report: PrivacyReport) -> str:
    """Return what is wrong, in one sentence."""
    counts = {level: len(found) for level, found in _by_level(report.findings).items()}
    wrong, unchecked, exceptions = (counts[level] for level in LEVELS)
    if wrong:
        sentence = f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong now."
    elif report.given or report.streams:
        sentence = "Nothing that was checked is wrong."
    else:
        sentence = "Nothing was checked: there are no embeddings, and no stream file was given."
    if unchecked:
        sentence += f" {unchecked} {'claim has' if unchecked == 1 else 'claims have'} not been checked."
    if exceptions:
        sentence += f" {exceptions} {'exception is' if exceptions == 1 else 'exceptions are'} open."
    return sentence


def _by_level(found: list[Finding]) -> dict[str, list[Finding]]:
    return {level: [finding for finding in found if finding.level == level] for level in LEVELS}


def _audited(report: PrivacyReport) -> list[Audited]:
    def key(measure: LeakageMeasure) -> tuple[str, str, str]:
        return measure.encoder, measure.head or "", measure.stream or ""

    return [
        Audited(encoder, head or None, stream or None, [_row(each, _limit(report, each)) for each in measures])
        for (encoder, head, stream), measures in groupby(sorted(report.leakage, key=key), key)
    ]


def _limit(report: PrivacyReport, measure: LeakageMeasure) -> float | None:
    """Return the strictest limit that a given stream sets for a measure."""
    limits = [
        gate.allowed_max
        for gate in report.gates
        if (gate.encoder_fingerprint, gate.metric) == (measure.encoder_fingerprint, measure.metric)
        and measure.stream in (None, gate.stream)
    ]
    return min(limits, default=None)


def _row(measure: LeakageMeasure, limit: float | None) -> tuple[LeakageMeasure, float | None, Strip]:
    low, high = (measure.value if end is None else end for end in (measure.low, measure.high))
    words = [f"{measure.metric} {_number(measure.value)}, 95% interval {_number(low)} to {_number(high)}"]
    words += [f"random vectors {_number(measure.control)}"]
    words += [] if measure.prior is None else [f"a guess without vectors {_number(measure.prior)}"]
    words += [] if measure.shuffled is None else [f"vectors of other records {_number(measure.shuffled)}"]
    words += [] if limit is None else [f"limit {limit:g}"]
    strip = Strip(
        value=_x(measure.value),
        low=_x(low),
        high=_x(high),
        prior=None if measure.prior is None else _x(measure.prior),
        control=_x(measure.control),
        shuffled=None if measure.shuffled is None else _x(measure.shuffled),
        limit=None if limit is None else _x(limit),
        alt_text="; ".join(words),
    )
    return measure, limit, strip


def _x(value: float) -> float:
    return round(_MARGIN + min(max(value, 0.0), 1.0) * (_WIDTH - 2 * _MARGIN), 1)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
