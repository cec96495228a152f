"""A drawing of the frontier of defences as SVG: leakage to the right, the accuracy of a head upwards."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#8A8F98"
"""As in `rawless.report.chart`, which needs plotly."""

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 900, 560, 70, 60, 30, 60


class Drawn(NamedTuple):
    """One defence."""

    name: str
    leakage: float
    low: float
    high: float
    accuracy: float
    is_efficient: bool


def draw(title: str, metric: str, prior: float, points: Sequence[Drawn]) -> str:
    """Return the drawing; `prior` is the leakage that needs no vector, a vertical line."""
    least, most = min([prior, *(point.low for point in points)]), max(point.high for point in points)
    lowest, highest = min(point.accuracy for point in points), max(point.accuracy for point in points)
    x, y = _Scale(least, most, _LEFT, _WIDTH - _RIGHT), _Scale(lowest, highest, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>{escape(title)}</title>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(_LEFT, 24, title, size=16),
        _text(_LEFT, 44, "Up and to the left is better. Filled: no other defence leaks less and is as accurate."),
        f'<line x1="{x(prior)}" x2="{x(prior)}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="{GREY}" '
        'stroke-dasharray="4 4"/>',
        _text(x(prior) + 4, _HEIGHT - _BOTTOM - 6, "a guess without vectors"),
        *(_text(x(tick) - 10, _HEIGHT - _BOTTOM + 20, f"{tick:.2f}") for tick in x.ticks()),
        *(_text(_LEFT - 40, y(tick) + 4, f"{tick:.2f}") for tick in y.ticks()),
        _text(_WIDTH / 2 - 40, _HEIGHT - 14, f"leakage: {metric}"),
        _text(8, _TOP - 8, "accuracy"),
    ]
    for point in points:
        colour, at, up = (VERMILION if point.is_efficient else BLUE), x(point.leakage), y(point.accuracy)
        fill = colour if point.is_efficient else "#fff"
        parts.append(f'<line x1="{x(point.low)}" x2="{x(point.high)}" y1="{up}" y2="{up}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{at}" cy="{up}" r="5" stroke="{colour}" fill="{fill}"/>')
        parts.append(_text(at + 8, up - 6, point.name))
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Scale:
    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        margin = max((high - low) * 0.05, 0.01)
        self._low, self._high, self._start, self._end = low - margin, high + margin, start, end

    def __call__(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self) -> list[float]:
        """Return five values between both ends."""
        return [self._low + (self._high - self._low) * part / 4 for part in range(5)]


def _text(x: float, y: float, text: str, size: int = 12) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="#334155">{escape(text)}</text>'
