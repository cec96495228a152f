"""Charts as inline SVG without text, which a page stretches to its width; colours are those of its style sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup, escape

COLOURS = 7
"""The number of colours in the style sheet; further series share the last."""
_WIDTH, _HEIGHT = 600.0, 100.0


@dataclass(frozen=True)
class DayChart:
    """A chart with a bar for each day, and the numbers that it draws, for readers of a table."""

    svg: Markup
    series: Sequence[str]
    """Names, in the order in which they are stacked."""
    colours: Sequence[int]
    """The number of the colour of each."""
    dates: Sequence[datetime]
    values: Sequence[Sequence[float]]
    """The values of each series by day."""
    highest: float
    """The sum of all series on the day with the highest one."""

    @property
    def rows(self) -> list[tuple[datetime, list[float]]]:
        """Each day that has any value, the last first, with the value of each series."""
        rows = [(date, [each[number] for each in self.values]) for number, date in enumerate(self.dates)]
        return [row for row in reversed(rows) if any(row[1])]


def colour(number: int) -> str:
    """Return the class of the style sheet for a series."""
    return f"c{min(number, COLOURS - 1)}"


def day_chart(
    title: str,
    dates: Sequence[datetime],
    series: Mapping[str, Mapping[datetime, float]],
    *,
    colours: Sequence[int] | None = None,
    as_shares: bool = False,
) -> DayChart:
    """Return a chart of stacked bars, one for each day; with `as_shares` all bars with a value are equally high."""
    colours = range(len(series)) if colours is None else colours
    values = [[by_day.get(date, 0.0) for date in dates] for by_day in series.values()]
    totals = [sum(column) for column in zip(*values, strict=True)] if values else []
    highest = max(totals, default=0.0)
    step = _WIDTH / max(1, len(dates))
    bars = []
    for day, date in enumerate(dates):
        scale = totals[day] if as_shares and totals else highest
        top = _HEIGHT
        for number, name in enumerate(series):
            value = values[number][day]
            if not value or not scale:
                continue
            height = value / scale * _HEIGHT
            top -= height
            label = escape(f"{date:%Y-%m-%d}, {name}: {value:,.0f}")
            bars.append(
                f'<rect class="{colour(colours[number])}" x="{day * step:.2f}" y="{top:.2f}" width="{step * 0.84:.2f}" '
                f'height="{height:.2f}"><title>{label}</title></rect>'
            )
    return DayChart(_drawing(title, "".join(bars)), tuple(series), colours, dates, values, highest)


def line_chart(title: str, dates: Sequence[datetime], values: Mapping[datetime, float]) -> Markup:
    """Return a chart of values between 0 and 1, as dots joined by a line; days without a value are passed over."""
    step = _WIDTH / max(1, len(dates))
    points = [
        ((number + 0.42) * step, (1 - min(max(values[date], 0.0), 1.0)) * _HEIGHT)
        for number, date in enumerate(dates)
        if date in values
    ]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    grid = "".join(f'<line class="grid-line" x1="0" x2="{_WIDTH:.0f}" y1="{y}" y2="{y}"/>' for y in (0, 50, 100))
    # A line of no length with round ends is a dot that is not stretched with the drawing.
    dots = "".join(f'<line class="dot" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>' for x, y in points)
    return _drawing(title, f'{grid}<polyline class="curve" points="{joined}"/>{dots}')


def share_bar(title: str, share: float, number: int = 0) -> Markup:
    """Return a bar that is as long as a share of its width."""
    length = min(max(share, 0.0), 1.0) * 100
    return Markup(
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="rest" width="100" height="10"/><rect class="{}" width="{}" height="10"/></svg>'
    ).format(title, colour(number), f"{length:.2f}")


def _drawing(title: str, body: str) -> Markup:
    """Return a drawing. `body` is made of numbers and escaped texts only."""
    opening = Markup(
        '<svg class="days" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
    ).format(int(_WIDTH), int(_HEIGHT), title)
    return opening + Markup(body) + Markup("</svg>")  # noqa: S704
