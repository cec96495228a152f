"""Charts of a head: how good it is, where it fails, and whether more rows would help."""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

import plotly.graph_objects as go

from rawless.heads.evaluation import Evaluation
from rawless.heads.metrics import Metric
from rawless.report.chart import BLUE, GREEN, GREY, ORANGE, PURPLE, Chart, figure, legend_above, plain, rows_axis, tick
from rawless.report.terms import TERMS, words

MOST_SLICES = 20
_MOST_COUNTED = 25
"""Classes up to which a confusion matrix has room for its numbers."""
_LETTERS_ACROSS = 24
"""Of all names below a confusion matrix, beyond which they stand upright."""
_LOOKS = ((BLUE, "circle"), (ORANGE, "diamond"), (PURPLE, "square"), (GREEN, "triangle-up"))
_GUIDE = {"color": GREY, "width": 1.5, "dash": "dash"}


def head_charts(key: str, name: str, found: Evaluation) -> Iterator[Chart]:
    """Those that there is something to draw of; keys begin with `key`."""
    shares = [each for each in found.measures if (term := TERMS.get(each.name)) and term.is_share]
    if shares:
        yield _measures(key, name, found, shares)
    if found.confusion:
        yield _confusion(key, found)
    if found.calibration:
        yield _calibration(key, found)
    if found.learning_curve:
        yield _learning_curve(key, found)
    if found.train_losses:
        yield _losses(key, found)
    if found.slices:
        yield _slices(key, found)


def _measures(key: str, name: str, found: Evaluation, shares: Sequence[Metric]) -> Chart:
    models = {name: found.measures, **{words(each): told for each, told in found.baselines.items()}}
    traces = []
    for n, (model, told) in enumerate(models.items()):
        colour, symbol = _LOOKS[n % len(_LOOKS)]
        by_name = {each.name: each for each in told}
        drawn = [(row, by_name[each.name]) for row, each in enumerate(shares) if each.name in by_name]
        offset = (n - (len(models) - 1) / 2) * 0.22
        places = [row + offset for row, _ in drawn]
        traces.append(_dots(model, [each for _, each in drawn], places, colour, symbol))
    said = "; ".join(f"{words(each.name)} {each}" for each in shares)
    names = [words(each.name) for each in shares]
    return Chart(
        f"{key}-measures", "Measures beside baselines", f"Dots with intervals on test: {said}.",
        "Each dot is a measure on test, its line the 95% interval from resampled rows; further right is better.",
        "Intervals of the head that reach those of a baseline: then the head has not shown that it learned something.",
        figure(traces, 62 * len(names) + 110, yaxis=rows_axis(names), xaxis={"fixedrange": True, "zeroline": False},
               legend=legend_above()),
    )  # fmt: skip


def _dots(name: str, measures: Sequence[Metric], places: Sequence[float], colour: str, symbol: str) -> Any:
    finite = [isfinite(each.value) for each in measures]
    spread = {
        "type": "data", "symmetric": False, "thickness": 2, "width": 4, "color": colour,
        "array": [each.high - each.value if ok else 0 for each, ok in zip(measures, finite, strict=True)],
        "arrayminus": [each.value - each.low if ok else 0 for each, ok in zip(measures, finite, strict=True)],
    }  # fmt: skip
    return go.Scatter(
        name=plain(name), mode="markers", y=list(places), error_x=spread,
        x=[each.value if ok else None for each, ok in zip(measures, finite, strict=True)],
        marker={"color": colour, "symbol": symbol, "size": 10},
        text=[plain(f"{name}: {words(each.name)} {each}") for each in measures],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _confusion(key: str, found: Evaluation) -> Chart:
    totals = [sum(row) for row in found.confusion]
    shares = [[count / max(total, 1) for count in row] for row, total in zip(found.confusion, totals, strict=True)]
    count = len(found.classes)
    has_room = count <= _MOST_COUNTED
    hover = [
        [plain(f"{label}, told as {other}: {cell:,} of {totals[n]:,} rows")
         for other, cell in zip(found.classes, found.confusion[n], strict=True)]
        for n, label in enumerate(found.classes)
    ]  # fmt: skip
    heat = go.Heatmap(
        z=shares, zmin=0, zmax=1, showscale=False, xgap=int(has_room), ygap=int(has_room),
        text=[[f"{cell:,}" if cell and has_room else "" for cell in row] for row in found.confusion],
        texttemplate="%{text}", customdata=hover, hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    places, names = list(range(count)), [tick(each) for each in found.classes]
    axis = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False, "fixedrange": True}
    axis |= {"showticklabels": has_room}
    turned = -90 if sum(map(len, names)) > _LETTERS_ACROSS else 0
    right = sum(row[n] for n, row in enumerate(found.confusion))
    return Chart(
        f"{key}-confusion", "Confusion matrix", f"Matrix: {right:,} of {sum(totals):,} rows of test are told right.",
        "A line for each label, a column for each answer; cells count rows of test, the darker the larger the share of "
        "the label." + ("" if has_room else " Hover or tap for names and counts."),
        "Dark cells off the diagonal: two labels that the head, or whoever labelled, takes for each other.",
        figure([heat], max(26 * count + 130 - turned, 300) if has_room else 560,
               xaxis=axis | {"title": {"text": "predicted"}, "tickangle": turned},
               yaxis=axis | {"title": {"text": "label"}, "autorange": "reversed"}),
    )  # fmt: skip


def _calibration(key: str, found: Evaluation) -> Chart:
    most = max(each.rows for each in found.calibration)
    dots = go.Scatter(
        mode="markers", x=[each.confidence for each in found.calibration],
        y=[each.accuracy for each in found.calibration],
        marker={"color": BLUE, "size": [8 + 18 * (each.rows / most) ** 0.5 for each in found.calibration]},
        customdata=[each.rows for each in found.calibration], cliponaxis=False,
        hovertemplate="confident %{x:.2f}, right %{y:.2f}, %{customdata:,} rows<extra></extra>",
    )  # fmt: skip
    said = "; ".join(f"{each.confidence:.2f} sure, {each.accuracy:.2f} right" for each in found.calibration)
    axis = {"range": [-0.03, 1.05], "dtick": 0.2, "fixedrange": True, "zeroline": False}
    diagonal = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": _GUIDE}
    return Chart(
        f"{key}-calibration", "Calibration", f"Confidence beside share of right answers: {said}.",
        "Rows of test in bins of confidence: how sure the head was, and how often it was right; larger dots hold "
        "more rows.",
        "Large dots below the dashed line, where the head is surer than it should be, or above it, where it is too "
        "modest; small dots jump about.",
        figure([dots], 390, xaxis=axis | {"title": {"text": "confidence"}}, shapes=[diagonal],
               yaxis=axis | {"title": {"text": "share right"}}, showlegend=False),
    )  # fmt: skip


def _learning_curve(key: str, found: Evaluation) -> Chart:
    points, main = found.learning_curve, words(found.main.name)
    line = go.Scatter(
        mode="lines+markers", x=[each.rows for each in points], y=[each.value for each in points],
        line={"color": BLUE}, marker={"size": 9},
        hovertemplate=f"%{{x:,}} rows of train: {main} %{{y:.3f}}<extra></extra>",
    )  # fmt: skip
    said = ", ".join(f"{each.rows:,} rows {each.value:.3f}" for each in points)
    axis = {"title": {"text": "rows of train"}, "rangemode": "tozero", "fixedrange": True}
    return Chart(
        f"{key}-curve", "Learning curve", f"{main} on validation by rows of train: {said}.",
        f"The {main} on validation of heads that were trained on a part of train, and on all of it.",
        "A line that still rises on its right: more rows would help. A flat one: a better encoder or cleaner "
        "labels would.",
        figure([line], 330, xaxis=axis, yaxis={"title": {"text": f"{main} on validation"}, "fixedrange": True},
               showlegend=False),
    )  # fmt: skip


def _losses(key: str, found: Evaluation) -> Chart:
    told = {"train": (found.train_losses, BLUE), "validation": (found.validation_losses, ORANGE)}
    lines = [
        go.Scatter(
            name=name, mode="lines", x=list(range(1, len(losses) + 1)), y=list(losses),
            line={"color": colour, "dash": "solid" if name == "train" else "dot", "width": 2.5},
            hovertemplate=f"epoch %{{x}}, {name}: %{{y:.4f}}<extra></extra>",
        )
        for name, (losses, colour) in told.items() if losses
    ]  # fmt: skip
    best = found.best_epoch
    kept = {"type": "line", "x0": best, "x1": best, "yref": "paper", "y0": 0, "y1": 1, "line": _GUIDE}
    return Chart(
        f"{key}-losses", "Losses", f"Losses over {len(found.train_losses)} epochs; the head is of epoch {best}.",
        f"The loss by epoch; the dashed line is epoch {best}, which the head was kept from.",
        "Validation that rises while train falls: the head learns its rows by heart.",
        figure(lines, 330, xaxis={"title": {"text": "epoch"}, "fixedrange": True, "zeroline": False}, shapes=[kept],
               yaxis={"title": {"text": "loss"}, "rangemode": "tozero", "fixedrange": True}, legend=legend_above()),
    )  # fmt: skip


def _slices(key: str, found: Evaluation) -> Chart:
    worst = sorted(found.slices, key=lambda each: (not isfinite(each.measure.value), each.measure.value))[:MOST_SLICES]
    names = [f"{each.of} {each.value} · {each.rows:,}" for each in worst]
    dots = _dots("slice", [each.measure for each in worst], range(len(worst)), BLUE, "circle")
    dots.text = [plain(f"{each.of} {each.value}, {each.rows:,} rows: {each.measure}") for each in worst]
    main = found.main
    guide = {"type": "line", "x0": main.value, "x1": main.value, "yref": "paper", "y0": 0, "y1": 1, "line": _GUIDE}
    shown = f"The {len(worst)} worst of {len(found.slices)} slices" if len(worst) < len(found.slices) else "Slices"
    said = "; ".join(f"{each.of} {each.value} {each.measure}" for each in worst)
    return Chart(
        f"{key}-slices", "Slices", f"{words(main.name)} on parts of test, the worst first: {said}.",
        f"{shown} of test by month and attribute, with their rows and 95% intervals, the worst on top; the dashed line "
        "is all of test.",
        "A slice whose whole interval lies left of the line: the head serves these rows worse than the others.",
        figure([dots], 32 * len(names) + 90, yaxis=rows_axis(names), showlegend=False, shapes=[guide],
               xaxis={"title": {"text": words(main.name)}, "fixedrange": True, "zeroline": False}),
    )  # fmt: skip
