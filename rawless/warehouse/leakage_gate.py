"""The leakage gate: what the last audits of a stream's encoders measured, against the limits in the stream file.

It lists the rows of its tables instead of a query, because processes with raw content may run no query.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.events.stream import Leakage, Stream
from rawless.warehouse.client import Warehouse

GATE_TABLES = ("leakage_audit_v1", "waiver_v1")
METRICS_OF_HEADS = "membership_"
"""How the metrics begin that are measured on the heads of an encoder."""
State = Literal["within", "missing", "old", "above"]


@dataclass(frozen=True)
class GatedMetric:
    """The state of one limit of a stream, for one of its encoders."""

    stream: str
    encoder: str
    """The encoder's reference in the stream file."""
    encoder_fingerprint: str
    metric: str
    allowed_max: float
    max_age: timedelta
    min_rows: int
    """How many contents the attacker must have had for an audit to count."""
    state: State
    """`missing` if no audit that counts has measured it, `old` if the last one is, `above` if it is above the limit."""
    measured: float | None
    """The upper end of the metric's interval in the last audit, or the value if the row has no interval."""
    audited_at: datetime | None
    ticket: str | None
    """The ticket of the waiver that lets the encoder pass, None if none is needed or none is valid."""
    waived_until: datetime | None

    @property
    def passes(self) -> bool:
        """Whether the gate lets the encoder pass."""
        return self.state == "within" or self.ticket is not None

    def explain(self, *, is_local: bool) -> str:
        """Return one sentence: what was measured, and the waiver that counts or the command that is missing."""
        measured = f"{self.encoder}: {self._describe()}"
        if self.state == "within":
            return f"{measured}."
        if self.waived_until is not None:
            return f"{measured}; waived until {self.waived_until:%Y-%m-%d %H:%M} UTC by {self.ticket}."
        waive = f"record an exception by `{self._waive(is_local=is_local)}`"
        if self.state == "above":
            return f"{measured}: name an encoder that reveals less, or {waive}."
        return f"{measured}: run `{self.command(is_local=is_local)}`, or {waive}."

    def command(self, *, is_local: bool) -> str:
        """Return the command that may let the encoder pass: an audit, or a waiver if the last is above the limit."""
        if self.state == "above":
            return self._waive(is_local=is_local)
        return f"rawless audit leakage {self._options(is_local=is_local)} --aux FILE"

    def _waive(self, *, is_local: bool) -> str:
        options = self._options(is_local=is_local)
        return f"rawless audit waive {options} --metric {self.metric} --reason CODE --ticket ID --until DATE"

    def _options(self, *, is_local: bool) -> str:
        return f"--stream FILE --encoder {self.encoder}" + ("" if is_local else " --warehouse FILE")

    def _describe(self) -> str:
        limit = f"at most {self.allowed_max:g}"
        if self.measured is None or self.audited_at is None:
            attacker = f" with {self.min_rows:,} contents or more" if self.min_rows else ""
            return f"{self.metric} must be {limit}, but no audit has measured it{attacker}"
        measured = f"{self.metric} is up to {self.measured:.3f} in the audit of {self.audited_at:%Y-%m-%d}"
        if self.state == "above":
            return f"{measured}, but must be {limit}"
        if self.state == "old":
            return f"{measured}, which is older than {self.max_age / timedelta(days=1):g} days"
        return f"{measured}, and must be {limit}"


def gated_metrics(
    warehouse: Warehouse, stream: Stream, specs: Mapping[str, EncoderSpec], now: datetime | None = None
) -> list[GatedMetric]:
    """Return the state of each limit of a stream for each encoder, by its reference; none if the stream has no gate.

    Raises what `Warehouse.list_rows` raises, and UserError for an encoder that is not sealed.
    """
    if stream.leakage is None:
        return []
    now = now or datetime.now(UTC)
    audits, waivers = (warehouse.list_rows(name) for name in GATE_TABLES)
    return [
        _state(stream.stream, stream.leakage, ref, spec.fingerprint, metric, audits, waivers, now)
        for ref, spec in specs.items()
        for metric in sorted(stream.leakage.max)
    ]


def enforce_gate(warehouse: Warehouse, stream: Stream, specs: Mapping[str, EncoderSpec]) -> list[str]:
    """Raise UserError unless all limits of a stream hold. Returns a sentence for each one that is waived.

    Raises what `gated_metrics` raises, too.
    """
    metrics, is_local = gated_metrics(warehouse, stream, specs), warehouse.emulator is not None
    gate = f"The leakage gate of {stream.stream}"
    if refused := [metric for metric in metrics if not metric.passes]:
        others = f" `rawless stream check` lists {len(refused) - 1} more." if len(refused) > 1 else ""
        raise UserError(f"{gate} refuses {refused[0].explain(is_local=is_local)}{others}")
    return [f"{gate} lets pass {metric.explain(is_local=is_local)}" for metric in metrics if metric.ticket]


def _state(
    stream: str,
    gate: Leakage,
    ref: str,
    fingerprint: str,
    metric: str,
    audits: Sequence[Mapping[str, Any]],
    waivers: Sequence[Mapping[str, Any]],
    now: datetime,
) -> GatedMetric:
    allowed_max = gate.max[metric]
    # Heads are attacked with the rows that they were trained on, however many these are.
    fewest = 0 if metric.startswith(METRICS_OF_HEADS) else gate.min_rows
    strong = [row for row in audits if row["auxiliary_rows"] >= fewest]
    last = _decisive_audit(strong, stream, fingerprint, metric, now - gate.max_age)
    measured = _upper_end(last) if last else None
    state: State = "within"
    if last is None or measured is None:
        state = "missing"
    elif measured > allowed_max:
        state = "above"
    elif now - last["audited_at"] > gate.max_age:
        state = "old"
    waiver = None if state == "within" else _waiver(waivers, stream, fingerprint, metric, now)
    return GatedMetric(
        stream=stream,
        encoder=ref,
        encoder_fingerprint=fingerprint,
        metric=metric,
        allowed_max=allowed_max,
        max_age=gate.max_age,
        min_rows=fewest,
        state=state,
        measured=measured,
        audited_at=last["audited_at"] if last else None,
        ticket=waiver["ticket"] if waiver else None,
        waived_until=waiver["expires_at"] if waiver else None,
    )


def _decisive_audit(
    audits: Sequence[Mapping[str, Any]], stream: str, fingerprint: str, metric: str, since: datetime
) -> Mapping[str, Any] | None:
    """Return the row that decides about a metric: of the last rows of the encoder and of each of its heads, the worst.

    Rows before `since` count only if there is no later one. An audit without a stream counts for all.
    """
    last: dict[str | None, Mapping[str, Any]] = {}
    for row in sorted(audits, key=lambda row: (row["audited_at"], _upper_end(row))):
        if (row["encoder_fingerprint"], row["metric"]) == (fingerprint, metric) and row["stream"] in (None, stream):
            last[row["head"] and row["head"].partition("@")[0]] = row
    recent = [row for row in last.values() if row["audited_at"] >= since]
    return max(recent, key=_upper_end, default=None) or max(
        last.values(), key=lambda row: row["audited_at"], default=None
    )


def _upper_end(row: Mapping[str, Any]) -> float:
    """Return the upper end of a measure's interval, infinite if it is not a number."""
    end = float(row["value"] if row["high"] is None else row["high"])
    return math.inf if math.isnan(end) else end


def _waiver(
    waivers: Sequence[Mapping[str, Any]], stream: str, fingerprint: str, metric: str, now: datetime
) -> Mapping[str, Any] | None:
    """Return the waiver that expires last, None if there is none or all have expired."""
    of = (stream, fingerprint, metric)
    own = [row for row in waivers if (row["stream"], row["encoder_fingerprint"], row["metric"]) == of]
    valid = [row for row in own if row["expires_at"] > now]
    return max(valid, key=lambda row: row["expires_at"], default=None)
