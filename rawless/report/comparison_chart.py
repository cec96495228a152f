"""Draw how two heads differ: for which classes the second is better or worse."""

from math import isfinite
from typing import TYPE_CHECKING

from rawless.report.chart import BLUE, GREY, Chart, escape_html, figure, rows_axis
from rawless.report.dots import dots

if TYPE_CHECKING:  # comparing needs torch, reporting does not
    from rawless.heads.head_comparison import ClassDifference, HeadComparison

MAX_CLASSES = 20
"""Classes that are drawn at most: half of them those that lose most, half those that gain most."""


def comparison_chart(key: str, comparison: "HeadComparison") -> Chart | None:
    """Return the difference of F1 by class; None for heads without classes."""
    measured = [each for each in comparison.classes if isfinite(each.f1.value)]
    if not measured:
        return None
    shown = measured if len(measured) <= MAX_CLASSES else _extremes(measured)
    names = [f"{each.name} · {each.first.rows:,}" for each in shown]
    traces = [dots("difference", [each.f1 for each in shown], range(len(shown)), BLUE, "circle")]
    traces[0].text = [
        escape_html(f"{each.name}: F1 {each.first.f1.value:.3f} to {each.second.f1.value:.3f}, {each.f1.signed}")
        for each in shown
    ]
    guide = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
             "line": {"color": GREY, "width": 1.5, "dash": "dash"}}  # fmt: skip
    values = "; ".join(f"{each.name} {each.f1.signed}" for each in shown)
    subject = "F1 of each class" if len(shown) == len(measured) else f"F1 of {len(shown)} of {len(measured):,} classes"
    by_chance = max(1, round(len(measured) * 0.05))
    return Chart(
        f"{key}-classes", "Classes", f"Differences of F1, the largest loss first: {values}.",
        f"{subject} by {comparison.second} minus that by {comparison.first}, with their rows and 95% intervals; it is "
        "better right of the dashed line.",
        f"An interval that is left of the line: {comparison.second} is worse for this class. About {by_chance:,} of "
        f"{len(measured):,} intervals {'leaves' if by_chance == 1 else 'leave'} out the line by chance.",
        figure(traces, 32 * len(names) + 90, yaxis=rows_axis(names), showlegend=False, shapes=[guide],
               xaxis={"title": {"text": "difference of F1"}, "fixedrange": True, "zeroline": False}),
    )  # fmt: skip


def _extremes(classes: "list[ClassDifference]") -> "list[ClassDifference]":
    half = MAX_CLASSES // 2
    return [*classes[:half], *classes[-half:]]
