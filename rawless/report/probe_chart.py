"""A drawing of a probe of an encoder as SVG: a line for each variant, with the head's metric and its interval."""

from collections.abc import Sequence
from typing import NamedTuple

from rawless.report.svg import BLUE, GREY, VERMILION, Scale, opening, text

_WIDTH, _LEFT, _RIGHT, _TOP, _LINE, _BOTTOM = 900, 260, 40, 80, 28, 60


class Drawn(NamedTuple):
    """One variant."""

    name: str
    value: float
    low: float
    high: float
    is_own: bool
    """Whether it is the encoder as it is."""


def draw(title: str, metric: str, variants: Sequence[Drawn]) -> str:
    """Return the drawing of the variants, in the given order from the top."""
    height = _TOP + _LINE * len(variants) + _BOTTOM
    ends = [each.low for each in variants], [each.high for each in variants]
    x, last = Scale(min(ends[0]), max(ends[1]), _LEFT, _WIDTH - _RIGHT), height - _BOTTOM
    own = next((each for each in variants if each.is_own), None)
    parts = [
        opening(title, _WIDTH, height),
        text(20, 28, title, size=16),
        text(20, 50, "Filled: the encoder as it is. The lines are 95% intervals on the test rows."),
        *(text(x(tick) - 14, last + 20, f"{tick:.3f}") for tick in x.ticks()),
        text(_LEFT, last + 44, metric),
    ]
    if own:
        parts.append(
            f'<line x1="{x(own.value)}" x2="{x(own.value)}" y1="{_TOP - 14}" y2="{last}" stroke="{GREY}" '
            'stroke-dasharray="4 4"/>'
        )
    for number, each in enumerate(variants):
        y, colour = _TOP + _LINE * number, VERMILION if each.is_own else BLUE
        fill = colour if each.is_own else "#fff"
        parts.append(text(20, y + 4, each.name))
        parts.append(f'<line x1="{x(each.low)}" x2="{x(each.high)}" y1="{y}" y2="{y}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{x(each.value)}" cy="{y}" r="5" stroke="{colour}" fill="{fill}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
