"""Draw the charts of a head: its measures, its errors, and whether more rows would help."""

from collections.abc import Iterator, Sequence
from math import isfinite

import plotly.graph_objects as go

from rawless.heads.evaluation import Evaluation
from rawless.heads.metrics import BINS, Metric
from rawless.report.chart import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    Chart,
    escape_html,
    figure,
    legend_above,
    rows_axis,
)
from rawless.report.dots import dots
from rawless.report.terms import TERMS, display_name

MAX_SLICES = 20
_STYLES = ((BLUE, "circle"), (ORANGE, "diamond"), (PURPLE, "square"), (GREEN, "triangle-up"))
_GUIDE = {"color": GREY, "width": 1.5, "dash": "dash"}


def head_charts(key: str, name: str, evaluation: Evaluation) -> Iterator[Chart]:
    """Yield every chart for which the evaluation has data. Their keys begin with `key`."""
    shares = [metric for metric in evaluation.measures if (term := TERMS.get(metric.name)) and term.is_share]
    if shares:
        yield _measures(key, name, evaluation, shares)
    if evaluation.calibration:
        yield _calibration(key, evaluation)
    if evaluation.learning_curve:
        yield _learning_curve(key, evaluation)
    if evaluation.train_losses:
        yield _losses(key, evaluation)
    if evaluation.slices:
        yield _slices(key, evaluation)


def _measures(key: str, name: str, evaluation: Evaluation, shares: Sequence[Metric]) -> Chart:
    models = {
        name: evaluation.measures,
        **{display_name(baseline): metrics for baseline, metrics in evaluation.baselines.items()},
    }
    traces = []
    for n, (model, metrics) in enumerate(models.items()):
        colour, symbol = _STYLES[n % len(_STYLES)]
        by_name = {metric.name: metric for metric in metrics}
        drawn = [(row, by_name[share.name]) for row, share in enumerate(shares) if share.name in by_name]
        offset = (n - (len(models) - 1) / 2) * 0.22
        positions = [row + offset for row, _ in drawn]
        traces.append(dots(model, [metric for _, metric in drawn], positions, colour, symbol))
    values = "; ".join(f"{display_name(metric.name)} {metric}" for metric in shares)
    names = [display_name(metric.name) for metric in shares]
    return Chart(
        f"{key}-measures", "Measures and baselines", f"Dots with intervals on the test split: {values}.",
        "Each dot is a measure on the test split, and its line the 95% interval from resampled rows; further right is "
        "better.",
        "Overlapping intervals of the head and a baseline: the head has then not been shown to learn anything.",
        figure(traces, 62 * len(names) + 110, yaxis=rows_axis(names), xaxis={"fixedrange": True, "zeroline": False},
               legend=legend_above()),
    )  # fmt: skip


def _calibration(key: str, evaluation: Evaluation) -> Chart:
    bins = evaluation.calibration
    most = max(bin_.rows for bin_ in bins)
    markers = go.Scatter(
        mode="markers", x=[bin_.confidence for bin_ in bins], y=[bin_.accuracy for bin_ in bins],
        marker={"color": BLUE, "size": [8 + 18 * (bin_.rows / most) ** 0.5 for bin_ in bins]},
        customdata=[bin_.rows for bin_ in bins], cliponaxis=False,
        hovertemplate="confidence %{x:.2f}, accuracy %{y:.2f}, %{customdata:,} rows<extra></extra>",
    )  # fmt: skip
    values = "; ".join(f"confidence {bin_.confidence:.2f}, accuracy {bin_.accuracy:.2f}" for bin_ in bins)
    axis = {"range": [-0.03, 1.05], "dtick": 0.2, "fixedrange": True, "zeroline": False}
    diagonal = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": _GUIDE}
    return Chart(
        f"{key}-calibration", "Calibration", f"Accuracy by confidence: {values}.",
        f"Test rows in {BINS} equal bins of confidence, without empty ones: how confident the head was, and how often "
        "it was right. Larger dots are more rows.",
        "Large dots below the dashed line, where the head is overconfident, or above it, where it is underconfident. "
        "Small dots are noisy.",
        figure([markers], 390, xaxis=axis | {"title": {"text": "confidence"}}, shapes=[diagonal],
               yaxis=axis | {"title": {"text": "accuracy"}}, showlegend=False),
    )  # fmt: skip


def _learning_curve(key: str, evaluation: Evaluation) -> Chart:
    points, main = evaluation.learning_curve, display_name(evaluation.main.name)
    line = go.Scatter(
        mode="lines+markers", x=[point.rows for point in points], y=[point.value for point in points],
        line={"color": BLUE}, marker={"size": 9},
        hovertemplate=f"%{{x:,}} training rows: {main} %{{y:.3f}}<extra></extra>",
    )  # fmt: skip
    values = ", ".join(f"{point.rows:,} rows {point.value:.3f}" for point in points)
    axis = {"title": {"text": "training rows"}, "rangemode": "tozero", "fixedrange": True}
    return Chart(
        f"{key}-curve", "Learning curve", f"{main} on the validation split by training rows: {values}.",
        f"The {main} on the validation split of heads that were trained on parts of the training rows, and on all.",
        "A line that still rises at its right end: more rows would help. A flat line: a better encoder or cleaner "
        "labels would help more.",
        figure([line], 330, xaxis=axis, yaxis={"title": {"text": f"{main} on validation"}, "fixedrange": True},
               showlegend=False),
    )  # fmt: skip


def _losses(key: str, evaluation: Evaluation) -> Chart:
    by_split = {"train": (evaluation.train_losses, BLUE), "validation": (evaluation.validation_losses, ORANGE)}
    lines = [
        go.Scatter(
            name=name, mode="lines", x=list(range(1, len(losses) + 1)), y=list(losses),
            line={"color": colour, "dash": "solid" if name == "train" else "dot", "width": 2.5},
            hovertemplate=f"epoch %{{x}}, {name}: %{{y:.4f}}<extra></extra>",
        )
        for name, (losses, colour) in by_split.items() if losses
    ]  # fmt: skip
    best = evaluation.best_epoch
    guide = {"type": "line", "x0": best, "x1": best, "yref": "paper", "y0": 0, "y1": 1, "line": _GUIDE}
    return Chart(
        f"{key}-losses", "Losses",
        f"Losses over {len(evaluation.train_losses)} epochs; the head was kept from epoch {best}.",
        f"The loss by epoch. The dashed line marks epoch {best}, whose weights were kept.",
        "A validation loss that rises while the training loss falls: the head overfits.",
        figure(lines, 330, xaxis={"title": {"text": "epoch"}, "fixedrange": True, "zeroline": False}, shapes=[guide],
               yaxis={"title": {"text": "loss"}, "rangemode": "tozero", "fixedrange": True}, legend=legend_above()),
    )  # fmt: skip


def _slices(key: str, evaluation: Evaluation) -> Chart:
    worst = sorted(
        evaluation.slices, key=lambda part: (not isfinite(part.measure.value), part.measure.value)
    )[:MAX_SLICES]  # fmt: skip
    names = [f"{part.of} {part.value} · {part.rows:,}" for part in worst]
    drawn = dots("slice", [part.measure for part in worst], range(len(worst)), BLUE, "circle")
    drawn.text = [escape_html(f"{part.of} {part.value}, {part.rows:,} rows: {part.measure}") for part in worst]
    main = evaluation.main
    guide = {"type": "line", "x0": main.value, "x1": main.value, "yref": "paper", "y0": 0, "y1": 1, "line": _GUIDE}
    total = len(evaluation.slices)
    subject = f"The {len(worst)} worst of {total} slices" if len(worst) < total else "Slices"
    values = "; ".join(f"{part.of} {part.value} {part.measure}" for part in worst)
    return Chart(
        f"{key}-slices", "Slices", f"{display_name(main.name)} on parts of the test split, the worst first: {values}.",
        f"{subject} of the test split by month and attribute, with their rows and 95% intervals, the worst on top. The "
        "dashed line is the whole test split.",
        "A slice whose whole interval is left of the line: the head performs worse on these rows.",
        figure([drawn], 32 * len(names) + 90, yaxis=rows_axis(names), showlegend=False, shapes=[guide],
               xaxis={"title": {"text": display_name(main.name)}, "fixedrange": True, "zeroline": False}),
    )  # fmt: skip
