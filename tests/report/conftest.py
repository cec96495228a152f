"""Parse a report as a browser does, and make the snapshots and heads that reports are rendered from."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from rawless.datasets.snapshots import Count, Manifest, Removal
from rawless.heads.artefact import DomainManifest, HeadManifest, Tensor
from rawless.heads.class_metrics import ClassCurve, class_measures
from rawless.heads.evaluation import CurvePoint, Evaluation, Mistake, OutOfScope, Slice, SuspectedMislabel
from rawless.heads.head_comparison import ChangedRow, ClassDifference, Difference, HeadComparison
from rawless.heads.metrics import Bin, Metric
from rawless.report.projection import Points, Projection

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>%{x}"
AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Page:
    """The parts of a report that a browser sees."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    headings: list[str] = field(default_factory=list)
    text: str = ""

    def table(self, name: str) -> list[list[str]]:
        """Return the rows of a table, by its id or class."""
        return self.tables[name]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page, self.inside, self.figure, self.rows = Page(), [""], None, []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.page.tags.append((tag, attributes))
        if tag not in ("meta", "img", "input"):
            self.inside.append(tag)
        if tag == "script":
            self.figure = attributes.get("data-for")
            self.page.scripts.append("")
        if tag == "table":
            self.rows = self.page.tables.setdefault(attributes.get("id") or attributes.get("class") or "ledger", [])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.page.headings.append("")

    def handle_endtag(self, tag):
        self.inside.pop()

    def handle_data(self, data):
        if self.inside[-1] == "script":
            self.page.scripts[-1] += data
            if self.figure:
                self.page.figures[self.figure] = json.loads(data)
            return
        self.page.text += data
        if {"td", "th"} & set(self.inside):
            self.rows[-1][-1] = (self.rows[-1][-1] + " " + data.strip()).strip()
        if self.inside[-1] in ("h1", "h2", "h3"):
            self.page.headings[-1] += data


def read_page(text: str) -> Page:
    """Parse a report."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.page


def manifest_of(label: str = "cat", rule: str = "rule", **fields: Any) -> Manifest:
    """Return the manifest of a snapshot of 40 rows with two labels."""
    spec = {"spec": {"encoder": "tiny@1.0.0", "label": {"classes": [label, "dog"]}}}
    whole: dict[str, Any] = {
        "dataset": "uploads", "snapshot_id": "a" * 24, "spec": spec, "sql_digest": "", "as_of": AT,
        "fingerprint": "f" * 64, "sources": (), "ledger": (Removal(rule, {"days": label}, 50, 10),),
        "counts": (
            Count("train", label, 10), Count("train", "dog", 10), Count("test", label, 12), Count("test", "dog", 8),
        ),
        "row_digest": "", "bytes_processed": 0, "created_at": AT,
    }  # fmt: skip
    return Manifest(**(whole | fields))


def points_of(label: str = "cat", event_id: str = "e", count: int = 40) -> Points:
    """Return the points of that snapshot; the first half is the train split."""
    labels = [label if n % 2 else "dog" for n in range(count)]
    splits = ["train" if n < count // 2 else "test" for n in range(count)]
    positions = np.random.default_rng(0).standard_normal((2, count, 2))
    projections = (Projection("UMAP", "UMAP.", positions[0]), Projection("PCA", "PCA.", positions[1]))
    return Points([f"{event_id}-{n}" for n in range(count)], labels, splits, ["tiny@1.0.0"] * count, projections, count)


def head_of(label: str = "cat", event_id: str = "e", **fields: Any) -> tuple[HeadManifest, Evaluation]:
    """Return a head of that snapshot that is wrong on two test rows, and its evaluation."""
    accuracy = Metric("accuracy", 0.9, 0.8, 0.95)
    defaults: dict[str, Any] = {
        "rows": {"train": 20, "validation": 0, "test": 20},
        "measures": (accuracy, Metric("log_loss", 0.3, 0.2, 0.4), Metric("roc_auc", float("nan"), 0.0, 0.0)),
        "baselines": {"majority": (Metric("accuracy", 0.5, 0.4, 0.6),)},
        "slices": (Slice("attribute", label, 11, accuracy),), "classes": (label, "dog"), "confusion": ((11, 1), (1, 7)),
        "curves": (
            _curve(label, Metric("average_precision", 0.95, 0.6, 1), 12, (0, 11, 11, 12), (0, 0, 1, 8)),
            _curve("dog", Metric("average_precision", 0.9, 0.54, 0.99), 8, (0, 7, 7, 8), (0, 0, 1, 12)),
        ),
        "calibration": (Bin(0.95, 0.9, 20),), "suspects": (SuspectedMislabel(f"{event_id}-3", label, "dog", 0.9),),
        "mistakes": (Mistake(f"{event_id}-21", label, "dog", 0.99), Mistake(f"{event_id}-22", "dog", label, 0.6)),
        "learning_curve": (CurvePoint(10, 0.8), CurvePoint(20, 0.9)), "train_losses": (1.0, 0.5, 0.4),
        "validation_losses": (1.1, 0.7, 0.8), "best_epoch": 2, "warnings": (f"Few rows for {label}.",),
        "abstention": Metric("abstention", 0.05, 0.0, 0.15),
        "out_of_scope": OutOfScope(
            "c" * 24, 30, 20,
            (Metric("roc_auc_of_distance", 0.97, 0.9, 1.0), Metric("abstention_on_test", 0.05, 0.0, 0.15)),
        ),
    }  # fmt: skip
    head = HeadManifest(
        head=fields.pop("head", "pets"), version=1, kind="linear", encoder="tiny", encoder_version="1.0.0",
        fingerprint="f" * 64, snapshot_id=fields.pop("snapshot_id", "a" * 24), classes=(label, "dog"),
        inputs=(Tensor("embedding", ("batch", 2), "float32"),),
        outputs=(Tensor("probabilities", ("batch", 2), "float32"),), metrics=(accuracy,), hyperparameters={},
        libraries={}, created_at=AT, domain=fields.pop("domain", DomainManifest(quantile=0.95, threshold=12.345)),
        digest="d",
    )  # fmt: skip
    return head, Evaluation(**(defaults | fields))


def _curve(name: str, precision: Metric, rows: int, true: tuple[int, ...], false: tuple[int, ...]) -> ClassCurve:
    return ClassCurve(name, rows, 20 - rows, Metric("roc_auc", 0.938, 0.7, 0.99), precision, true, false, 0.01)


def comparison_of(label: str = "cat", event_id: str = "e", **fields: Any) -> HeadComparison:
    """Return a comparison of two versions of that head, of which the second fixes two rows and breaks one."""
    classes = [
        ClassDifference(name, *class_measures([name, "?"], [[11, 1], [1, 7]])[:1] * 2, Metric(name, value, -0.1, 0.1))
        for name, value in ((label, -0.01), ("dog", 0.05))
    ]
    defaults: dict[str, Any] = {
        "first": "pets@1", "second": "pets@2", "snapshots": ["a" * 24], "rows": 20, "seen": 0, "unmatched": 0,
        "differences": [Difference("accuracy", 0.9, 0.95, Metric("accuracy", 0.05, 0.01, 0.09))], "classes": classes,
        "changed": [
            ChangedRow(f"{event_id}-21", label, "dog", label, "fixed"),
            ChangedRow(f"{event_id}-22", "dog", label, "dog", "fixed"),
            ChangedRow(f"{event_id}-23", label, label, "dog", "broken"),
        ],
        "p_value": 0.01,
    }  # fmt: skip
    return HeadComparison(**(defaults | fields))


@pytest.fixture(scope="session")
def layers() -> Callable[[Page, str], dict[str, list[int]]]:
    """Return a function that maps the name of each group of one colouring of the map to its rows."""

    def of(page: Page, colour: str) -> dict[str, list[int]]:
        return {
            trace["name"]: trace["meta"]["rows"]
            for trace in page.figures["map"]["data"]
            if trace["meta"]["colour"] == colour
        }

    return of
