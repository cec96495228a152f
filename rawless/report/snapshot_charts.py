"""Charts of a snapshot: what its rules left, and what it holds."""

import plotly.graph_objects as go

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import SPLITS
from rawless.report.chart import BLUE, SPLIT_COLOURS, VERMILION, Chart, figure, legend_above, plain, rows_axis

MINUS = "\N{MINUS SIGN}"
_LINE, _THIN_LINE, _MANY = 30, 19, 12
"""Pixels a bar takes, and takes where there are more than so many."""


def ledger(snapshot: Manifest) -> Chart | None:
    """The ledger as a waterfall; rules that removed nothing take no room. None for a snapshot without rules."""
    if not snapshot.ledger:
        return None
    removing = [each for each in snapshot.ledger if each.removed]
    first, left = snapshot.ledger[0].rows_in, rows_left(snapshot)
    names = ["rows in", *(each.rule for each in removing), "rows left"]
    steps = [first, *(-each.removed for each in removing), left]
    told = [f"{step:,}".replace("-", MINUS) for step in steps]
    waterfall = go.Waterfall(
        orientation="h", measure=["absolute", *("relative" for _ in removing), "total"], x=steps,
        y=list(range(len(names))), text=told, textposition="outside", cliponaxis=False,
        customdata=[plain(name) for name in names], hovertemplate="%{customdata}: %{text}<extra></extra>",
        connector={"line": {"width": 1, "color": "rgba(128,128,128,.4)"}},
        decreasing={"marker": {"color": VERMILION}}, increasing={"marker": {"color": BLUE}},
        totals={"marker": {"color": BLUE}},
    )  # fmt: skip
    axis = {"range": [0, max(first, 1) * (1.2 + 0.06 * len(told[0]))], "visible": False, "fixedrange": True}
    lost = "; ".join(f"{each.rule} removed {each.removed:,}" for each in removing) or "no rule removed any"
    return Chart(
        "ledger", "What each rule removed", f"Waterfall of rows: {first:,} in; {lost}; {left:,} left.",
        "From the rows that came in, each rule takes its bar away, in the order of the file, until the rows that "
        "are left.",
        "A rule that removes far more than you meant, or nothing where it should.",
        figure([waterfall], _LINE * len(names) + 30, yaxis=rows_axis(names), xaxis=axis, showlegend=False),
    )  # fmt: skip


def rows_left(snapshot: Manifest) -> int:
    """After the last rule."""
    last = snapshot.ledger[-1]
    return last.rows_in - last.removed


def counts(snapshot: Manifest) -> Chart:
    """Rows by label and split; by split alone where the label is a number."""
    table = {(each.split, each.label): each.row_count for each in snapshot.counts}
    names = labels(snapshot)
    shown = names if not snapshot.is_number else ["all"]
    bars = [
        go.Bar(
            name=split, orientation="h", y=list(range(len(names))), x=[table.get((split, name), 0) for name in names],
            marker={"color": SPLIT_COLOURS[split]}, customdata=[plain(name) for name in shown],
            hovertemplate=f"%{{customdata}}, {split}: %{{x:,}} rows<extra></extra>",
        )
        for split in SPLITS
    ]  # fmt: skip
    line = _LINE if len(names) <= _MANY else _THIN_LINE
    total = {name: sum(table.get((split, name), 0) for split in SPLITS) for name in names}
    said = ", ".join(f"{shown[n]} {total[name]:,}" for n, name in enumerate(names))
    axis = {"title": {"text": "rows"}, "fixedrange": True, "rangemode": "tozero"}
    return Chart(
        "counts", "Rows by label and split", f"Bars of rows by label: {said}.",
        "How many rows each label has, and how they are shared out among training, validation and test.",
        "Labels with few rows, which a head learns badly and test judges roughly, and labels that a split lacks.",
        figure(bars, max(line * len(names), 60) + 110, barmode="stack", legend=legend_above(),
               yaxis=rows_axis(shown), xaxis=axis),
    )  # fmt: skip


def labels(snapshot: Manifest) -> list[str]:
    """The classes in the spec's order, and any other that is counted; one without a name for numbers."""
    counted = dict.fromkeys(each.label for each in snapshot.counts)
    return list(dict.fromkeys((*snapshot.classes, *counted))) or [""]
