"""A drawing of the frontier of defences as SVG: leakage to the right, the accuracy of a head upwards."""

from collections.abc import Sequence
from typing import NamedTuple

from rawless.report.svg import BLUE, GREY, VERMILION, Scale, opening, text

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
    x, y = Scale(least, most, _LEFT, _WIDTH - _RIGHT), Scale(lowest, highest, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        opening(title, _WIDTH, _HEIGHT),
        text(_LEFT, 24, title, size=16),
        text(_LEFT, 44, "Up and to the left is better. Filled: no other defence leaks less and is as accurate."),
        f'<line x1="{x(prior)}" x2="{x(prior)}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="{GREY}" '
        'stroke-dasharray="4 4"/>',
        text(x(prior) + 4, _HEIGHT - _BOTTOM - 6, "a guess without vectors"),
        *(text(x(tick) - 10, _HEIGHT - _BOTTOM + 20, f"{tick:.2f}") for tick in x.ticks()),
        *(text(_LEFT - 40, y(tick) + 4, f"{tick:.2f}") for tick in y.ticks()),
        text(_WIDTH / 2 - 40, _HEIGHT - 14, f"leakage: {metric}"),
        text(8, _TOP - 8, "accuracy"),
    ]
    for point in points:
        colour, at, up = (VERMILION if point.is_efficient else BLUE), x(point.leakage), y(point.accuracy)
        fill = colour if point.is_efficient else "#fff"
        parts.append(f'<line x1="{x(point.low)}" x2="{x(point.high)}" y1="{up}" y2="{up}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{at}" cy="{up}" r="5" stroke="{colour}" fill="{fill}"/>')
        parts.append(text(at + 8, up - 6, point.name))
    return "\n".join([*parts, "</svg>"]) + "\n"
