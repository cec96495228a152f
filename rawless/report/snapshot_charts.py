"""Draw the charts of a snapshot: the rows that each rule removed, and the rows by label and split."""

import plotly.graph_objects as go

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import SPLITS
from rawless.report.chart import BLUE, SPLIT_COLOURS, VERMILION, Chart, escape_html, figure, legend_above, rows_axis

MINUS = "\N{MINUS SIGN}"
_BAR_PIXELS, _THIN_BAR_PIXELS, _MAX_WIDE_BARS = 30, 19, 12


def ledger(snapshot: Manifest) -> Chart | None:
    """Return the ledger as a waterfall without rules that removed nothing; None for a snapshot without rules."""
    if not snapshot.ledger:
        return None
    removals = [removal for removal in snapshot.ledger if removal.removed]
    first, left = snapshot.ledger[0].rows_in, rows_left(snapshot)
    names = ["rows in", *(removal.rule for removal in removals), "rows left"]
    steps = [first, *(-removal.removed for removal in removals), left]
    texts = [f"{step:,}".replace("-", MINUS) for step in steps]
    waterfall = go.Waterfall(
        orientation="h", measure=["absolute", *("relative" for _ in removals), "total"], x=steps,
        y=list(range(len(names))), text=texts, textposition="outside", cliponaxis=False,
        customdata=[escape_html(name) for name in names], hovertemplate="%{customdata}: %{text}<extra></extra>",
        connector={"line": {"width": 1, "color": "rgba(128,128,128,.4)"}},
        decreasing={"marker": {"color": VERMILION}}, increasing={"marker": {"color": BLUE}},
        totals={"marker": {"color": BLUE}},
    )  # fmt: skip
    axis = {"range": [0, max(first, 1) * (1.2 + 0.06 * len(texts[0]))], "visible": False, "fixedrange": True}
    lost = "; ".join(f"{removal.rule} removed {removal.removed:,}" for removal in removals) or "no rule removed any"
    return Chart(
        "ledger", "What each rule removed", f"Waterfall of rows: {first:,} in; {lost}; {left:,} left.",
        "The rows that each rule removed, in the order of the dataset file, and the rows that are left.",
        "A rule that removes far more rows than intended, or none.",
        figure([waterfall], _BAR_PIXELS * len(names) + 30, yaxis=rows_axis(names), xaxis=axis, showlegend=False),
    )  # fmt: skip


def rows_left(snapshot: Manifest) -> int:
    """Return the number of rows after the last rule."""
    last = snapshot.ledger[-1]
    return last.rows_in - last.removed


def counts(snapshot: Manifest) -> Chart:
    """Return the rows by label and split; by split only if the label is a number."""
    table = {(count.split, count.label): count.row_count for count in snapshot.counts}
    names = labels(snapshot)
    shown = names if not snapshot.is_number else ["all"]
    bars = [
        go.Bar(
            name=split, orientation="h", y=list(range(len(names))), x=[table.get((split, name), 0) for name in names],
            marker={"color": SPLIT_COLOURS[split]}, customdata=[escape_html(name) for name in shown],
            hovertemplate=f"%{{customdata}}, {split}: %{{x:,}} rows<extra></extra>",
        )
        for split in SPLITS
    ]  # fmt: skip
    bar = _BAR_PIXELS if len(names) <= _MAX_WIDE_BARS else _THIN_BAR_PIXELS
    total = {name: sum(table.get((split, name), 0) for split in SPLITS) for name in names}
    values = ", ".join(f"{shown[n]} {total[name]:,}" for n, name in enumerate(names))
    axis = {"title": {"text": "rows"}, "fixedrange": True, "rangemode": "tozero"}
    return Chart(
        "counts", "Rows by label and split", f"Bars of rows by label: {values}.",
        "The number of rows of each label in the training, validation and test splits.",
        "Labels with few rows, which are hard to learn and to measure, and labels that are missing from a split.",
        figure(bars, max(bar * len(names), 60) + 110, barmode="stack", legend=legend_above(),
               yaxis=rows_axis(shown), xaxis=axis),
    )  # fmt: skip


def labels(snapshot: Manifest) -> list[str]:
    """Return the classes in the spec's order, then any other counted label; one empty name if labels are numbers."""
    counted = dict.fromkeys(count.label for count in snapshot.counts)
    return list(dict.fromkeys((*snapshot.classes, *counted))) or [""]
