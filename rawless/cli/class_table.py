"""Print the measures of the classes of a head, and return them for JSON."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rawless.cli.output import echo, print_table

if TYPE_CHECKING:
    from rawless.heads.class_metrics import ClassCurve, ClassMeasures

ROWS_SHOWN = 10


def print_classes(measures: "Sequence[ClassMeasures]", curves: "Sequence[ClassCurve]") -> None:
    """Print a table of classes in the given order, cut after some rows; nothing for a head without classes."""
    by_name = {curve.name: curve for curve in curves}
    rows = [
        {"class": each.name, "rows": each.rows, "precision": each.precision.number, "recall": each.recall.number,
         "f1": str(each.f1), **(_areas(by_name.get(each.name)) if curves else {})}
        for each in measures[:ROWS_SHOWN]
    ]  # fmt: skip
    if not rows:
        return
    print_table(rows, "Classes, the lowest F1 first, with its 95% interval")
    if hidden := len(measures) - len(rows):
        echo(f"{hidden:,} more classes are in the output of --json, and in the report.")


_AREAS = ("roc_auc", "average_precision")


def _areas(curve: "ClassCurve | None") -> Mapping[str, str]:
    return {name.replace("_", " "): getattr(curve, name).number if curve else "undefined" for name in _AREAS}


def classes_json(measures: "Sequence[ClassMeasures]", curves: "Sequence[ClassCurve]") -> list[dict[str, Any]]:
    """Return all classes with their measures and intervals, without the points of curves."""
    by_name = {curve.name: curve for curve in curves}
    return [
        {"class": each.name, "rows": each.rows, "predicted": each.predicted}
        | {name: _metric_json(getattr(each, name)) for name in ("precision", "recall", "f1")}
        | {name: _metric_json(getattr(by_name[each.name], name)) for name in _AREAS if each.name in by_name}
        for each in measures
    ]


def _metric_json(metric: Any) -> dict[str, Any]:
    return {"value": metric.value, "low": metric.low, "high": metric.high}
