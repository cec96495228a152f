"""Learning an adapter: fitting maps of several kinds, choosing one on validation events, and judging it on test events.

A map is judged by recall@10: which share of the ten nearest neighbours that the native vector of an event has in an
index of native vectors its mapped vector finds there. Two controls say what no adapter reaches: vectors as they are,
cut off or padded with zeros, and a map that was fitted to pairs of different events.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from encoders.adapter import AdapterKind
from encoders.adapter_map import AdapterMap
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.heads.metrics import Array, Metric, bootstrap, paired_difference
from rawless.lifecycle.adapter_fit import Pairs, Settings, fit, fit_steps, identity, scale
from rawless.lifecycle.native_neighbours import K, NativeNeighbours, unit
from rawless.lifecycle.paired_vectors import PairedVectors

MIN_EVENTS = 500
"""A fifth of them are a test of 100 queries, whose recall@10 has an interval of about ±0.05."""
MIN_GROUPS = 50
"""Persons, or events without one. With fewer, the split by persons is of a handful."""
MIN_SPLIT = 2 * K
"""Events of a split: each has ten neighbours among the others."""
RECALL = f"recall@{K}"
UNADAPTED, SHUFFLED = "vectors as they are", "shuffled pairs"
_HELD_OUT = 0.2
"""The share of the persons for validation, and that for test."""
MOST_QUERIES = 1_000
_MOST_INDEXED = 10_000
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
_RANKS = (64, 128, 256)
"""64 is that of the paper."""
_TIMED_ROWS = 1_024
_TIMINGS = 15
_HIGHEST_TOLERANCE = 0.1

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Judged:
    """The best map of one kind, fitted to all events but those of test."""

    settings: Settings
    adapter: AdapterMap
    validation: float
    """Its recall@10 on validation events, before these were used to fit it, too."""
    recall: Metric
    """On test events, as `cosine`."""
    cosine: float
    """The mean cosine of mapped and native vectors."""
    seconds: float
    """What fitting all maps of the kind took."""
    microseconds: float
    """The processor time, of one core, that mapping one vector takes in batches, on this machine."""


@dataclass(frozen=True)
class Learned:
    """What was learned from the pairs."""

    chosen: Judged
    kinds: tuple[Judged, ...]
    controls: Mapping[str, Metric]
    """recall@10 of each control on test events."""
    gains: Mapping[str, Metric]
    """How much more the chosen map reaches than each control."""
    adapted_index: Metric
    """recall@10 of native queries in an index of adapted vectors of test events, by the chosen map."""
    events: Mapping[str, int]
    """The number of events of each split."""
    fitted_to: frozenset[str]
    """The ids of the events to which the chosen map was fitted."""


def learn(
    pairs: PairedVectors,
    kinds: Sequence[AdapterKind],
    *,
    l2_normalise: bool,
    seed: int = 0,
    report_progress: Callable[[str], None] = lambda _: None,
) -> Learned:
    """Return the best map from the first vectors of pairs to the second. Raises UserError for too few pairs."""
    judge = Judge(pairs, l2_normalise=l2_normalise, seed=seed)
    judged = []
    for kind in kinds:
        report_progress(kind)
        judged.append(judge.best(judge.settings(kind)))
    chosen = max(judged, key=lambda each: each.validation)
    found = judge.found(chosen.adapter)
    controls = judge.controls()
    return Learned(
        chosen,
        tuple(judged),
        {name: judge.measure(each) for name, each in controls.items()},
        {name: judge.difference(each, found) for name, each in controls.items()},
        judge.adapted_index(chosen.adapter),
        {name: len(rows) for name, rows in judge.splits.items()},
        frozenset(pairs.event_ids[row] for name in ("train", "validation") for row in judge.splits[name]),
    )


def refuse(learned: Learned, source: EncoderSpec, target: EncoderSpec, min_recall: float) -> None:
    """Raise UserError for a map that finds no more than a control, or less than is wanted, with the figures."""
    start = f"The adapter of {source.ref} into the space of {target.ref} is refused: its {RECALL} is "
    reached = learned.chosen.recall
    for name, gain in learned.gains.items():
        if gain.low <= 0:
            raise UserError(
                f"{start}{reached}, and {name} reach {learned.controls[name]}, so that it adds nothing that is "
                "certain: check that both encoders embed the same content, or log both for longer."
            )
    if reached.value < min_recall:
        raise UserError(
            f"{start}{reached}, but --min-recall is {min_recall:g}: log both encoders for longer, or state by "
            "--min-recall what is enough."
        )


def tolerance(adapter: AdapterMap, source: EncoderSpec, vectors: Vector, seed: int = 0) -> float:
    """Return the tolerance of an adapted encoder, never less than the source's.

    It is how far mapped vectors move when every component of a vector is off by the tolerance of the source, rounded up
    to one digit.
    """
    signs = np.random.default_rng(seed).integers(0, 2, vectors.shape) * 2 - 1
    off = (vectors + signs * source.tolerance).astype(np.float32)
    moved = np.abs(adapter.apply(off) - adapter.apply(vectors)).max()
    unit_of_digit = 10.0 ** math.floor(math.log10(max(float(moved), source.tolerance)))
    grown = math.ceil(float(moved) / unit_of_digit) * unit_of_digit
    return float(f"{min(max(grown, source.tolerance), _HIGHEST_TOLERANCE):.1g}")


def _split(pairs: PairedVectors) -> dict[str, Rows]:
    """Return the rows of each split: all events of a person are in one of them. Raises UserError for too few."""
    groups = _groups(pairs)
    if len(groups) < MIN_EVENTS or len(set(groups)) < MIN_GROUPS:
        raise UserError(
            f"{len(groups):,} events of {pairs.stream} have vectors of both encoders, of {len(set(groups)):,} persons, "
            f"but an adapter needs {MIN_EVENTS} events of {MIN_GROUPS} persons: log both encoders for longer."
        )
    places = _places(groups)
    names = np.where(places < _HELD_OUT, "test", np.where(places < 2 * _HELD_OUT, "validation", "train"))
    splits = {name: np.flatnonzero(names == name) for name in ("train", "validation", "test")}
    if (least := min(map(len, splits.values()))) < MIN_SPLIT:
        raise UserError(
            f"A split by persons has {least:,} events of {pairs.stream} only, because most are of a few persons, but "
            f"an adapter needs {MIN_SPLIT} in each: log both encoders for longer."
        )
    return splits


def test_rows(pairs: PairedVectors) -> Rows:
    """Return the rows to which no map that `learn` returns is fitted."""
    return np.flatnonzero(_places(_groups(pairs)) < _HELD_OUT)


def _groups(pairs: PairedVectors) -> list[str]:
    """Return the person of each event, or the event where there is none."""
    return [subject or event for subject, event in zip(pairs.subject_keys, pairs.event_ids, strict=True)]


def _places(groups: Sequence[str]) -> Array:
    """Return a number from 0 to 1 for each group, which is the same whatever other events there are."""
    return np.array([int.from_bytes(hashlib.sha256(each.encode()).digest()[:8]) / 2**64 for each in groups])


class _Tried(NamedTuple):
    """A map that was fitted to the events of train."""

    settings: Settings
    """Of an MLP with the number of its steps."""
    adapter: AdapterMap
    recall: float
    """On validation events."""


class Judge:
    """Fits maps to the events of train, and measures them on those of the other splits."""

    def __init__(self, pairs: PairedVectors, *, l2_normalise: bool, seed: int = 0) -> None:
        """Raise UserError for too few pairs."""
        self.splits = splits = _split(pairs)
        self._seed = seed
        self._parts = {
            name: Pairs(pairs.first[rows], pairs.second[rows], l2_normalise=l2_normalise)
            for name, rows in splits.items()
            if name != "validation"
        }
        self._queries = Pairs(
            *(each[splits["validation"][:MOST_QUERIES]] for each in (pairs.first, pairs.second)),
            l2_normalise=l2_normalise,
        )
        fitted = np.concatenate([splits["train"], splits["validation"]])
        self._refit = Pairs(pairs.first[fitted], pairs.second[fitted], l2_normalise=l2_normalise)
        self._neighbours = {name: neighbours(pairs.second, splits[name]) for name in ("validation", "test")}
        self._ridge: float | None = None  # the best of the affine maps, on which other kinds build
        self._persons = [pairs.subject_keys[row] for row in splits["test"][:MOST_QUERIES]]

    def best(self, settings_to_try: Iterable[Settings]) -> Judged:
        """Return the best map of several settings, the best of them also with diagonal scaling."""
        started = time.perf_counter()
        tried = [self._tried(each) for each in settings_to_try]
        best = max(tried, key=lambda each: each.recall)
        scaled = scale(best.adapter, self._parts["train"])
        tried = [best, _Tried(replace(best.settings, scaled=True), scaled, self._validation(scaled))]
        settings, _, validation = max(tried, key=lambda each: each.recall)
        adapter = fit(settings, self._refit, self._seed)
        seconds = time.perf_counter() - started
        test = self._parts["test"]
        cosine = float((unit(adapter.apply(test.first)) * unit(test.second)).sum(axis=1).mean())
        recall = self.measure(self.found(adapter))
        return Judged(settings, adapter, validation, recall, cosine, seconds, _microseconds(adapter, test.first))

    def settings(self, kind: AdapterKind) -> Iterator[Settings]:
        """Yield the settings that are tried for a kind."""
        if kind == "orthogonal":
            yield from (Settings(kind, centred=centred) for centred in (False, True))
            return
        ridges = [Settings("affine", ridge=ridge) for ridge in _RIDGES]
        if kind == "affine":
            yield from ridges
            return
        if self._ridge is None:
            self._ridge = max(ridges, key=lambda each: self._tried(each).recall).ridge
        ridge = self._ridge
        if kind == "low_rank_affine":
            smaller = min(self._refit.first.shape[1], self._refit.second.shape[1])
            ranks = [rank for rank in _RANKS if rank < smaller] or [max(smaller // 2, 1)]
            yield from (Settings(kind, ridge=ridge, rank=rank) for rank in ranks)
            return
        for start in ("identity", "affine"):
            yield Settings(kind, ridge=ridge if start == "affine" else 0.0, start=start)

    def _tried(self, settings: Settings) -> _Tried:
        train = self._parts["train"]
        if settings.kind == "residual_mlp" and settings.steps is None:
            adapter, settings = fit_steps(settings, train, self._queries, self._seed)
        else:
            adapter = fit(settings, train, self._seed)
        return _Tried(settings, adapter, self._validation(adapter))

    def _validation(self, adapter: AdapterMap) -> float:
        """Return the recall of a map on the validation events."""
        return float(self._neighbours["validation"].found(adapter.apply(self._queries.first)).mean())

    def controls(self) -> dict[str, Array]:
        """Return what each control finds for the test events."""
        order = np.random.default_rng(self._seed).permutation(len(self._refit))
        given, made = self._refit.first, self._refit.second[order]
        shuffled = fit(Settings("affine", ridge=1e-2), Pairs(given, made, l2_normalise=self._refit.l2_normalise))
        return {UNADAPTED: self.found(identity(self._refit)), SHUFFLED: self.found(shuffled)}

    def found(self, adapter: AdapterMap) -> Array:
        """Return the share of the neighbours of each test event that its mapped vector finds."""
        return self._neighbours["test"].found(adapter.apply(self._parts["test"].first[:MOST_QUERIES]))

    def adapted_index(self, adapter: AdapterMap) -> Metric:
        """Return what native vectors find in an index of adapted ones, all of test events."""
        test = self._parts["test"]
        rows = np.arange(min(len(test), _MOST_INDEXED))
        native, queries = test.second[rows], rows[:MOST_QUERIES]
        neighbours = NativeNeighbours(native, queries)
        return self.measure(neighbours.found(native[queries], index=adapter.apply(test.first[rows])))

    def measure(self, found: Array) -> Metric:
        """Return the mean over test events, with its interval over persons."""
        (metric,) = bootstrap(_mean, found, seed=self._seed, persons=self._persons)
        return metric

    def difference(self, before: Array, after: Array) -> Metric:
        """Return by how much it is higher afterwards."""
        (metric,) = paired_difference(_mean, [before], [after], self._seed, self._persons)
        return metric


def _mean(found: Array) -> dict[str, float]:
    return {RECALL: float(found.mean())}


def neighbours(native: Vector, rows: Rows, k: int = K) -> NativeNeighbours:
    """Return the neighbours of the first 1,000 of the rows, in an index of them and of the other events."""
    others = np.setdiff1d(np.arange(len(native)), rows)
    indexed = np.concatenate([rows, others])[:_MOST_INDEXED]
    return NativeNeighbours(native[indexed], np.arange(min(len(rows), MOST_QUERIES)), k)


def _microseconds(adapter: AdapterMap, vectors: Vector) -> float:
    batch = np.resize(vectors, (_TIMED_ROWS, vectors.shape[1]))
    times = []
    for _ in range(_TIMINGS):
        started = time.process_time()  # of all threads, and without the time that other programs take
        adapter.apply(batch)
        times.append(time.process_time() - started)
    return min(times) / len(batch) * 1e6
