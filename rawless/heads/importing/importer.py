"""Importing a model that was trained elsewhere as a head."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from encoders.spec import EncoderSpec
from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads import artefact
from rawless.heads.artefact import HeadManifest
from rawless.heads.importing.allowed_operators import MAX_CLASSES
from rawless.heads.importing.class_order import classes_of
from rawless.heads.importing.model_signature import ModelSignature, read_signature
from rawless.heads.importing.normal_form import finish, normal_form
from rawless.heads.importing.onnx_reader import check, read_model
from rawless.heads.importing.trial import ROWS, Array, TrialError, run_trial
from rawless.heads.reevaluate import reevaluate
from rawless.heads.session import HeadSession
from rawless.heads.spec import CLASS, NAME, fits
from rawless.warehouse.client import Warehouse

TOLERANCE = 1e-4
"""The largest accepted difference between the answers for a row alone and in a batch; the sum of a row's probabilities
may differ from 1 by ten times that."""


@dataclass(frozen=True)
class ImportedModel:
    """A model that was imported, not yet published: its signature as exported, and the head that it became."""

    signature: ModelSignature
    graph: bytes
    manifest: HeadManifest
    """The manifest of the head as its version 1, without metrics."""


def import_model(file: Path, encoder: EncoderSpec, name: str, classes: Sequence[str] = ()) -> ImportedModel:
    """Read, check and try a model over the vectors of an encoder. Raises UserError that names what does not fit."""
    if not fits(name, NAME):
        raise UserError(
            f"The name {name!r} is not 1 to 63 of the characters a-z0-9_, beginning with a letter: choose another."
        )
    fingerprint = encoder.fingerprint
    model = read_model(file)
    signature = read_signature(model, encoder.dimension, file)
    head = normal_form(model, signature, encoder.dimension)
    check(head, file)
    columns = _try(head.SerializeToString(deterministic=True), file)
    finish(head, columns)
    graph = head.SerializeToString(deterministic=True)
    manifest = HeadManifest(
        head=name,
        version=1,
        kind=artefact.IMPORTED,
        encoder=encoder.name,
        encoder_version=encoder.version,
        fingerprint=fingerprint,
        encoder_space=artefact.recorded_space(encoder.space, fingerprint),
        snapshot_id=None,
        classes=_classes(classes, classes_of(model, columns), columns, file),
        **artefact.tensors(head),
        metrics=(),
        hyperparameters={"file_digest": hashlib.sha256(file.read_bytes()).hexdigest()},
        libraries=artefact.libraries(("numpy", "onnx", "onnxruntime")),
        created_at=datetime.now(UTC),
    )
    HeadSession(manifest, graph)
    return ImportedModel(signature, graph, manifest)


def _try(graph: bytes, file: Path) -> int:
    """Run a graph on random rows and return the number of its output columns. Raises UserError for wrong answers."""
    try:
        batch, singles = run_trial(graph)
    except TrialError as error:
        raise UserError(f"The model {file} {error}.") from None
    if batch.ndim not in (1, 2) or len(batch) != ROWS or 0 in batch.shape:
        raise UserError(
            f"The model {file} returns the shape {list(batch.shape)} for {ROWS} rows, but a head returns one entry "
            "for each row."
        )
    if not np.isfinite(batch).all():
        raise UserError(f"The model {file} returns a number that is not finite: check its weights.")
    if any(
        single.shape != row.shape or not _is_close(single, row)
        for single, row in zip(singles, batch[:, None], strict=True)
    ):
        raise UserError(
            f"The model {file} answers differently for a row alone and in a batch: export it without operators that "
            "combine rows."
        )
    columns = batch.shape[1] if batch.ndim == 2 else 1
    if columns > 1:
        _check_probabilities(batch, file)
    return columns


def _is_close(one: Array, other: Array) -> bool:
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))


def _check_probabilities(batch: Array, file: Path) -> None:
    columns = batch.shape[1]
    if columns > MAX_CLASSES:
        raise UserError(f"The model {file} returns {columns:,} classes, but a head may have {MAX_CLASSES:,}.")
    if batch.min() < -TOLERANCE or not np.allclose(batch.sum(1), 1, atol=10 * TOLERANCE):
        raise UserError(
            f"The model {file} returns {columns} columns that are not probabilities, since their sum is not 1: "
            "end it with a softmax."
        )


def _classes(names: Sequence[str], own: Sequence[str], columns: int, file: Path) -> tuple[str, ...]:
    """Return the checked names. Without names, those that the model itself gives, `own`, or numbers from 0."""
    if not names:
        if columns > 1 and own and all(fits(name, CLASS) for name in own):
            return tuple(own)
        return tuple(map(str, range(columns))) if columns > 1 else ()
    if invalid := [name for name in names if not fits(name, CLASS)]:
        raise UserError(
            f"The class {invalid[0][:64]!r} is not 1 to 64 of the characters A-Za-z0-9_.-: choose another name."
        )
    if len(set(names)) < len(names):
        raise UserError("Two classes have the same name: give each column a name of its own.")
    if len(names) != columns or columns < 2:
        raise UserError(
            f"There are {len(names)} class names, but the model {file} returns {columns} "
            f"column{'s' if columns > 1 else ''}: give one name for each column of probabilities, in their order."
        )
    if any(name in own and own[column] != name for column, name in enumerate(names)):
        raise UserError(
            f"The classes {', '.join(names)} are in another order than those of the model {file}, which says "
            f"{', '.join(name[:64] for name in own)}: give them in the model's order, or leave --classes out."
        )
    return tuple(names)


def with_metrics(warehouse: Warehouse, imported: ImportedModel, snapshot: Manifest) -> HeadManifest:
    """Return the manifest with metrics on a snapshot's test split. Raises UserError when they do not fit together."""
    metrics = reevaluate(warehouse, HeadSession(imported.manifest, imported.graph), snapshot).metrics
    hyperparameters = imported.manifest.hyperparameters | {"judged_on": snapshot.snapshot_id}
    return imported.manifest.model_copy(update={"metrics": metrics, "hyperparameters": hyperparameters})
