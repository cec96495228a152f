"""The page on streams: events and rejections a day, encoders by role, and what drift was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from rawless.console import parts
from rawless.console.charts import DayChart, day_chart
from rawless.console.parts import DriftMetric
from rawless.console.reads import Window
from rawless.console.source import Source, View
from rawless.overview.streams import StreamSummary


@dataclass(frozen=True)
class Reason:
    """A reason for rejections."""

    code: str
    deliveries: int
    share: float
    """Of all rejections of the stream."""


@dataclass(frozen=True)
class Stream:
    """A stream in the days that are shown."""

    counted: StreamSummary
    rate: DayChart
    rejections: DayChart
    reasons: Sequence[Reason]
    drift: Sequence[DriftMetric]
    """The metrics of the window that was measured last, those above their thresholds first."""

    @property
    def alarms(self) -> list[DriftMetric]:
        """The metrics that are above their thresholds."""
        return [metric for metric in self.drift if metric.is_alarm]


@dataclass(frozen=True)
class StreamsView(View):
    """The page."""

    streams: Sequence[Stream]


def read(source: Source, window: Window) -> StreamsView:
    """Return the page on streams."""
    reads = source.reads
    reads.start(parts.drift, window)
    counted, drift = parts.streams(reads, window), parts.drift(reads, window)
    streams = [
        _stream(each, window, [metric for metric in drift.value if metric.stream == each.stream])
        for each in counted.value
    ]
    return StreamsView([counted, drift], [source.command("status")], streams)


def _stream(counted: StreamSummary, window: Window, drift: Sequence[DriftMetric]) -> Stream:
    name, days = counted.stream, [(datetime.combine(each.day, time.min, UTC), each) for each in counted.days]
    last_window = max((each.end_at for each in drift), default=None)
    return Stream(
        counted,
        day_chart(f"Events of {name} a day", window.dates, {"events": {at: day.events for at, day in days}}),
        day_chart(
            f"Rejections of {name} a day",
            window.dates,
            {"rejections": {at: day.rejections for at, day in days}},
            colours=[1],
        ),
        [Reason(code, count, count / counted.rejected) for code, count in counted.rejections.items()],
        sorted(
            (each for each in drift if each.end_at == last_window), key=lambda each: (not each.is_alarm, each.metric)
        ),
    )
