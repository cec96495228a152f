"""Making a query tower of an encoder from a snapshot of pairs and the texts of its queries, and saying its worth."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from encoders.batch_encoder import BatchEncoder
from encoders.query_tower import Tower, check_tunable, trainable, unsealed_tower, write_tower
from encoders.spec import EncoderSpec
from rawless.datasets.snapshots import Manifest, find
from rawless.datasets.spec import Split
from rawless.errors import UserError
from rawless.heads.examples import Task, open_task
from rawless.heads.fit import predict
from rawless.heads.metrics import Array, Metric
from rawless.heads.spec import head_spec
from rawless.heads.training import train as train_head
from rawless.lifecycle.finetune_baseline import Content, read_content
from rawless.lifecycle.searches import MRR, RECALL, Searches, searches_of
from rawless.lifecycle.tune_queries import TuningOptions, Validation, encode_queries, tune
from rawless.privacy import Raw, Reason, guarded
from rawless.warehouse.client import Warehouse

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Worth:
    """What a tower is worth: measures on the test split with intervals, by what answers."""

    validation: Validation
    pairs: Mapping[Split, int]
    documents: Mapping[Split, int]
    plain: dict[str, Metric]
    """The documents' encoder, queries as they are."""
    query_transform: dict[str, Metric]
    """A linear map of its queries that was trained on the same pairs."""
    tower: dict[str, Metric]
    tower_over_plain: dict[str, Metric]
    tower_over_transform: dict[str, Metric]


@dataclass(frozen=True)
class _Queries:
    """The searches of each split, and their queries ready for the network."""

    searches: dict[Split, Searches]
    items: dict[Split, list[Any]]


def make_tower(
    warehouse: Warehouse,
    documents: EncoderSpec,
    pairs: str,
    content: Content,
    name: str,
    version: str,
    file: Path,
    options: TuningOptions,
    layers: int | None,
    positive: str | None,
    report_progress: Callable[[str], None],
) -> tuple[EncoderSpec, Worth]:
    """Tune a query tower, and write its files into the folder of the name of `file`; return its sealed spec.

    Nothing is written before it is better than the plain encoder on validation. Raises UserError if it is not, or when
    snapshot, content and encoder do not belong together.
    """
    check_tunable(documents)
    folder = file.absolute().with_suffix("")
    if folder.exists():
        raise UserError(f"The folder {folder} exists already: remove it, or name another file by --out.")
    manifest = find(warehouse, pairs)
    if manifest.fingerprint != documents.fingerprint:
        raise UserError(
            f"The events of {manifest.snapshot_id} were encoded by {manifest.fingerprint[:12]}…, but {documents.ref} "
            f"is {documents.fingerprint[:12]}…: name the encoder of the snapshot."
        )
    unsealed = unsealed_tower(documents, Tower(name, version, f"{manifest.dataset}@{manifest.snapshot_id}"), folder)
    task = _open_task(warehouse, manifest, options.seed, positive)
    encoder = trainable(documents, layers)
    report_progress("reading content")
    queries = _read_queries(warehouse, task, content, encoder)
    found = guarded(_tune, encoder, queries, task, options, report_progress)
    if isinstance(found, Reason):
        raise UserError("No tower can be tuned on these queries: the network failed on one of them.")
    validation, ranks = found
    if not validation.epoch:
        raise UserError(
            f"No epoch was better on validation than the plain encoder, whose {MRR} is {validation.before[MRR]:.3f} "
            f"and {RECALL} {validation.before[RECALL]:.3f}, so nothing was written: use more pairs, another "
            "--learning-rate, or the plain encoder."
        )
    report_progress("writing")
    spec = _write(documents, unsealed, encoder, folder)
    return spec, _worth(queries, validation, ranks, options.seed)


def _open_task(warehouse: Warehouse, manifest: Manifest, seed: int, positive: str | None) -> Task:
    """Return the pairs of a snapshot as a query transform is trained on them. Raises UserError."""
    fields = {"head": "query", "snapshot": manifest.snapshot_id, "kind": "query_transform", "seed": seed}
    task = open_task(warehouse, head_spec(fields | ({"positive": positive} if positive else {})), manifest)
    for split in _SPLITS:
        if not task.splits[split].rows.labels.any():
            raise UserError(
                f"The split {split} of {manifest.snapshot_id} has no matching pair: a tower needs some in each split."
            )
    return task


def _read_queries(warehouse: Warehouse, task: Task, content: Content, encoder: BatchEncoder[Any]) -> _Queries:
    """Return the queries of matching pairs, read from their source. Raises UserError when some are missing."""
    searches = {split: searches_of(task.splits[split]) for split in _SPLITS}
    payloads = read_content(warehouse, content, [each for part in searches.values() for each in part.query_ids])
    items = {split: [_prepare(encoder, payloads.get(each)) for each in searches[split].query_ids] for split in _SPLITS}
    for split, prepared in items.items():
        if missing := sum(isinstance(item, Reason) for item in prepared):
            raise UserError(
                f"{missing:,} queries of {split} are not in the source: name the source that they were read from."
            )
    return _Queries(searches, items)


def _prepare(encoder: BatchEncoder[Any], payload: Raw[bytes] | None) -> Any:
    return Reason.OBJECT_NOT_FOUND if payload is None else encoder.prepare(payload, role="query")


def _tune(
    encoder: BatchEncoder[Any],
    queries: _Queries,
    task: Task,
    options: TuningOptions,
    report_progress: Callable[[str], None],
) -> tuple[Validation, dict[str, Array]]:
    """Return the validation of the training, and the ranks on test by what answers."""
    searches, items = queries.searches, queries.items
    report_progress("query transform")
    plain = {split: encode_queries(encoder, items[split]) for split in _SPLITS}
    transform = train_head(_with_queries(task, searches, plain), lambda _: None).head
    validation = tune(
        encoder, (searches["train"], items["train"]), (searches["validation"], items["validation"]), options,
        report_progress,
    )  # fmt: skip
    answers = {
        "plain": plain["test"],
        "query_transform": predict(transform, (plain["test"],)),
        "tower": encode_queries(encoder, items["test"]),
    }
    return validation, {name: searches["test"].ranks(vectors) for name, vectors in answers.items()}


def _with_queries(task: Task, searches: Mapping[Split, Searches], vectors: Mapping[Split, torch.Tensor]) -> Task:
    """Return a task whose matching pairs have the vectors that a service would compute, with the prompt of queries."""
    splits = {}
    for split, part in task.splits.items():
        numbers = {event: number for number, event in enumerate(searches[split].query_ids)}
        query, *others = part.rows.inputs
        rows = [row for row, (event, _) in enumerate(part.events) if event in numbers]
        query = query.clone()
        query[rows] = vectors[split][[numbers[part.events[row][0]] for row in rows]]
        splits[split] = replace(part, rows=replace(part.rows, inputs=(query, *others)))
    return replace(task, splits=splits)


def _write(documents: EncoderSpec, unsealed: EncoderSpec, encoder: BatchEncoder[Any], folder: Path) -> EncoderSpec:
    """Write a tower's files beside `folder`, and move them there when all are written and its probe is computed."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        spec = write_tower(documents, unsealed, encoder.network, partial)
        os.rename(partial, folder)  # noqa: PTH104 - Path.rename would replace an empty folder of another run, too
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return spec


def _worth(queries: _Queries, validation: Validation, ranks: Mapping[str, Array], seed: int) -> Worth:
    test = queries.searches["test"]
    return Worth(
        validation=validation,
        pairs={split: len(each) for split, each in queries.searches.items()},
        documents={split: len(each.documents) for split, each in queries.searches.items()},
        plain=test.measure(ranks["plain"], seed),
        query_transform=test.measure(ranks["query_transform"], seed),
        tower=test.measure(ranks["tower"], seed),
        tower_over_plain=test.measure(ranks["tower"], seed, ranks["plain"]),
        tower_over_transform=test.measure(ranks["tower"], seed, ranks["query_transform"]),
    )
