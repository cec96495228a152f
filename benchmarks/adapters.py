"""Adapters between encoders: recall@10 beside that of the kinds of Drift-Adapter on the same events, heads, and time.

The real part needs the file data_full.json of CLINC150 (Larson et al., 2019), which RAWLESS_BENCH_CLINC names.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from benchmarks.figures import Figure, figure
from encoders.adapter import AdapterKind
from encoders.catalogue import lookup
from encoders.encoder import Encoded
from encoders.load import build
from encoders.spec import Vector
from rawless.lifecycle.adapter_choice import UNADAPTED, Judge, Judged, Learned, learn
from rawless.lifecycle.adapter_fit import Settings
from rawless.lifecycle.native_neighbours import unit
from rawless.lifecycle.paired_vectors import PairedVectors
from rawless.privacy import Raw

CLINC = "RAWLESS_BENCH_CLINC"
DUAL, TEXTS = 2_000, 4_500
MADE, DIMENSION = (2_000, 50_000), 384
_ENCODERS: dict[str, dict[str, Any]] = {"mean": {}, "cls": {"pooling": "cls"}, "layer5": {"layer": 5}}
_DIRECTIONS = (("mean", "cls"), ("cls", "mean"), ("mean", "layer5"), ("layer5", "mean"))
_KINDS: tuple[AdapterKind, ...] = get_args(AdapterKind)
_PAPER = {
    "orthogonal": Settings("orthogonal", centred=False),
    "low-rank affine": Settings("low_rank_affine", rank=64, ridge=1e-6),
    "residual MLP": Settings("residual_mlp", start="identity"),
}
"""The kinds of the paper with its sizes; diagonal scaling is decided on validation events, as for ours."""


def measure(_: int) -> list[Figure]:
    """Recall and seconds of adapters on made vectors, and on real ones where the texts are."""
    figures = [each for rows in MADE for each in _made(rows)]
    if path := os.environ.get(CLINC):
        labels, vectors = real_vectors(Path(path))
        for source, target in _DIRECTIONS:
            figures += _real(f"{source} to {target}", vectors[source], vectors[target], labels)
    return figures


def real_vectors(path: Path) -> tuple[list[str], dict[str, Vector]]:
    """Return the intents of texts, and their vectors by variants of MiniLM."""
    each = TEXTS // 150
    rows, seen = [], dict[str, int]()
    for text, intent in json.loads(path.read_text(encoding="utf-8"))["train"]:
        seen[intent] = seen.get(intent, 0) + 1
        if seen[intent] <= each:
            rows.append((text, intent))
    rows = [rows[number] for number in np.random.default_rng(0).permutation(len(rows))]
    vectors = {}
    for name, fields in _ENCODERS.items():
        encoder = build(lookup("minilm@1.0.0").model_copy(update={"probe": None, **fields}), torch.device("cpu"))
        encoder.accelerate()
        outcomes = encoder.encode([Raw(text.encode()) for text, _ in rows])
        vectors[name] = np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Encoded)])
    return [intent for _, intent in rows], vectors


def _real(of: str, first: Vector, second: Vector, labels: list[str]) -> Iterator[Figure]:
    pairs = _pairs(first[:DUAL], second[:DUAL])
    learned = learn(pairs, _KINDS, l2_normalise=True)
    papers = list(_papers(pairs))
    best = max(each.recall.value for _, each in papers)
    yield _recall(of, learned)
    yield figure("adapters", of, "recall@10 over the best of the paper's kinds",
                 [learned.chosen.recall.value / best], "ratio", ">= 1")  # fmt: skip
    for name, judged in papers:
        yield figure("adapters", of, f"recall@10, {name} of the paper", [judged.recall.value], "share")
    yield figure("adapters", of, "recall@10, vectors as they are", [learned.controls[UNADAPTED].value], "share")
    yield from _heads(of, learned, pairs, first, second, labels)


def _heads(
    of: str, learned: Learned, pairs: PairedVectors, first: Vector, second: Vector, labels: list[str]
) -> Iterator[Figure]:
    """A head that was trained on native vectors of other events, on native and on mapped vectors of the test events.

    What the source's vectors contain of the labels is what a head reaches that is trained on them.
    """
    of_source, head = (
        LogisticRegression(C=30, max_iter=300).fit(each[DUAL:], labels[DUAL:]) for each in (first, second)
    )
    test = [row for row in range(DUAL) if pairs.event_ids[row] not in learned.fitted_to]
    truth = np.array(labels)[test]
    before = np.mean(head.predict(pairs.second[test]) == truth)
    after = np.mean(head.predict(learned.chosen.adapter.apply(pairs.first[test])) == truth)
    yield figure("adapters", of, "accuracy of a head, native", [float(before)], "share")
    alone = np.mean(of_source.predict(pairs.first[test]) == truth)
    yield figure("adapters", of, "accuracy of a head of the source, native", [float(alone)], "share")
    yield figure(
        "adapters", of, "accuracy of the head, adapted less native", [float(after - before)], "share", ">= -0.02"
    )


def _made(rows: int) -> Iterator[Figure]:
    """Vectors of 64 hidden causes, mapped by a curved function and noise."""
    numbers = np.random.default_rng(0)
    causes = numbers.standard_normal((rows, 64)).astype(np.float32)
    first, second = (
        unit(np.tanh(causes @ numbers.standard_normal((64, DIMENSION)).astype(np.float32) / 8)
             + 0.05 * numbers.standard_normal((rows, DIMENSION)).astype(np.float32))
        for _ in "ab"
    )  # fmt: skip
    started, used = time.perf_counter(), time.process_time()
    learned = learn(_pairs(first, second), _KINDS, l2_normalise=True)
    elapsed, of_cpu = time.perf_counter() - started, time.process_time() - used
    of = f"{rows:,} made events of {DIMENSION}"
    yield _recall(of, learned)
    yield figure("adapters", of, "fitting and judging all kinds", [elapsed], "seconds", "<= 60")
    most = "<= 60" if rows == MADE[-1] else "<= 10"
    yield figure("adapters", of, "processor time of fitting and judging", [of_cpu], "seconds", most)
    for each in learned.kinds:
        yield figure("adapters", of, f"fitting, {each.settings.kind}", [each.seconds], "seconds")
        what = f"a vector in batches of 1,024, {each.settings.kind}"
        yield figure("adapters", of, what, [each.microseconds], "microseconds", "<= 10")


def _papers(pairs: PairedVectors) -> Iterator[tuple[str, Judged]]:
    judge = Judge(pairs, l2_normalise=True)
    for name, settings in _PAPER.items():
        yield name, judge.best([settings])


def _recall(of: str, learned: Learned) -> Figure:
    recall = learned.chosen.recall
    values = [recall.low, recall.value, recall.high]
    return figure("adapters", of, f"recall@10, chosen: {learned.chosen.settings.kind}", values, "share")


def _pairs(first: Vector, second: Vector) -> PairedVectors:
    return PairedVectors("bench", tuple(map(str, range(len(first)))), (None,) * len(first), first, second)
