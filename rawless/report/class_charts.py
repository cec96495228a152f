"""Draw the curves of the classes of a head, each against all others: ROC, and precision by recall."""

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go

from rawless.heads.class_metrics import ClassCurve
from rawless.heads.evaluation import Evaluation
from rawless.report.chart import GREY, PALETTE, Chart, escape_html, figure, legend_above, tick_label

MAX_CURVES = 100
"""Classes with a curve at most: those with the lowest average precision, by which the size of the page is bounded."""
SHOWN = 5
"""Classes whose curves are shown at first."""
_AXIS = {"range": [-0.03, 1.04], "dtick": 0.25, "fixedrange": True, "zeroline": False}
_GUIDE = {"color": GREY, "width": 1.5, "dash": "dash"}


def curve_names(evaluation: Evaluation) -> list[str]:
    """Return the classes with a curve, those with the lowest average precision first."""
    return [curve.name for curve in _worst(evaluation)]


def curve_charts(key: str, evaluation: Evaluation) -> Iterator[Chart]:
    """Yield both curves of each class, if they are stored. The page's script shows those that are chosen."""
    curves = _worst(evaluation)
    if not curves:
        return
    worst = curves[:SHOWN]
    areas, precisions = (
        "; ".join(f"{curve.name} {getattr(curve, name)}" for curve in worst)
        for name in ("roc_auc", "average_precision")
    )
    yield Chart(
        f"{key}-roc", "ROC", f"ROC of the classes with the lowest average precision; areas: {areas}.",
        "For all thresholds of a class's probability, which share of its rows is found, by the share of other rows "
        "that is found with them. The dashed line is chance.",
        "A line far below the others: no threshold of one's own separates the rows of this class.",
        figure(
            [_trace(n, curve, curve.roc(), "false positive rate", "recall") for n, curve in enumerate(curves)], 380,
            xaxis=_AXIS | {"title": {"text": "false positive rate"}}, yaxis=_AXIS | {"title": {"text": "recall"}},
            shapes=[{"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": _GUIDE}], legend=legend_above(),
        ),
    )  # fmt: skip
    yield Chart(
        f"{key}-precision", "Precision by recall",
        f"Precision by recall of the classes with the lowest average precision: {precisions}.",
        "For the same thresholds, which share of the rows that are found is of the class, by the share of its rows "
        "that is found.",
        "A precision that is high up to some recall: with a threshold there, few others are taken for the class.",
        figure(
            [_trace(n, curve, curve.precision_recall(), "recall", "precision") for n, curve in enumerate(curves)], 380,
            xaxis=_AXIS | {"title": {"text": "recall"}}, yaxis=_AXIS | {"title": {"text": "precision"}},
            legend=legend_above(),
        ),
    )  # fmt: skip


def _worst(evaluation: Evaluation) -> list[ClassCurve]:
    return sorted(evaluation.curves, key=lambda curve: (curve.average_precision.value, curve.name))[:MAX_CURVES]


def _trace(n: int, curve: ClassCurve, points: Sequence[tuple[float, float]], across: str, up: str) -> go.Scatter:
    style = {"color": PALETTE[n % len(PALETTE)], "dash": ("solid", "dot", "dash")[n // len(PALETTE) % 3], "width": 2}
    values = f"{curve.name}: ROC-AUC {curve.roc_auc}, average precision {curve.average_precision}"
    return go.Scatter(
        x=[round(point[0], 4) for point in points], y=[round(point[1], 4) for point in points], mode="lines",
        line=style, showlegend=True, name=tick_label(curve.name), visible=n < SHOWN, meta={"class": n},
        cliponaxis=False, text=escape_html(values),
        hovertemplate=f"%{{text}}<br>{across} %{{x:.3f}}, {up} %{{y:.3f}}<extra></extra>",
    )  # fmt: skip
