"""From a model made elsewhere to a head: read, checked, tried, judged where asked, written and registered."""

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
from rawless.heads.importing.allowed_operators import MOST_CLASSES
from rawless.heads.importing.normal_form import finish, normal_form
from rawless.heads.importing.onnx_reader import check, read_model
from rawless.heads.importing.signature import Signature, signature
from rawless.heads.importing.trial import ROWS, Array, TrialError, try_out
from rawless.heads.reevaluate import reevaluate
from rawless.heads.session import HeadSession
from rawless.heads.spec import CLASS, NAME, fits
from rawless.warehouse.client import Warehouse

TOLERANCE = 1e-4
"""Between a row that is asked alone and among others; of the sum of a row's probabilities ten times that."""


@dataclass(frozen=True)
class Imported:
    """A model made elsewhere that can be a head: what was read, and the graph that came of it."""

    signature: Signature
    graph: bytes
    manifest: HeadManifest
    """Of its first version, not judged."""


def read(file: Path, encoder: EncoderSpec, name: str, classes: Sequence[str] = ()) -> Imported:
    """Read, check and try a model over an encoder's vectors. Raises UserError naming what does not fit."""
    if not fits(name, NAME):
        raise UserError(f"The name {name!r} is not 1 to 63 of the characters a-z0-9_ with a letter first.")
    fingerprint = encoder.fingerprint
    model = read_model(file)
    found = signature(model, encoder.dimension, file)
    head = normal_form(model, found, encoder.dimension)
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
        snapshot_id=None,
        classes=_classes(classes, columns, file),
        **artefact.tensors(head),
        metrics=(),
        hyperparameters={"file_digest": hashlib.sha256(file.read_bytes()).hexdigest()},
        libraries=artefact.libraries(("numpy", "onnx", "onnxruntime")),
        created_at=datetime.now(UTC),
    )
    HeadSession(manifest, graph)
    return Imported(found, graph, manifest)


def _try(graph: bytes, file: Path) -> int:
    """How many columns the answer has; it is finite and the same for a row alone and among others."""
    try:
        whole, alone = try_out(graph)
    except TrialError as error:
        raise UserError(f"The model {file} {error}.") from None
    if whole.ndim not in (1, 2) or len(whole) != ROWS or 0 in whole.shape:
        raise UserError(
            f"The model {file} answers {ROWS} rows with the shape {list(whole.shape)}, but an answer has one for each."
        )
    if not np.isfinite(whole).all():
        raise UserError(f"The model {file} answers with what is no finite number: look at its weights.")
    rows = whole[:, None]  # each as a batch of its own
    if any(one.shape != row.shape or not _close(one, row) for one, row in zip(alone, rows, strict=True)):
        raise UserError(
            f"The model {file} answers a row alone otherwise than among others: no operator may look across rows."
        )
    columns = whole.shape[1] if whole.ndim == 2 else 1
    if columns > 1:
        _check_probabilities(whole, file)
    return columns


def _close(one: Array, other: Array) -> bool:
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))


def _check_probabilities(whole: Array, file: Path) -> None:
    columns = whole.shape[1]
    if columns > MOST_CLASSES:
        raise UserError(f"The model {file} answers {columns:,} classes, but a head tells at most {MOST_CLASSES:,}.")
    if whole.min() < -TOLERANCE or not np.allclose(whole.sum(1), 1, atol=10 * TOLERANCE):
        raise UserError(
            f"The model {file} answers {columns} columns that are no probabilities, since a row's sum is not 1: "
            "end it with a softmax."
        )


def _classes(given: Sequence[str], columns: int, file: Path) -> tuple[str, ...]:
    """As they were given; numbered where they were not and there is more than one column."""
    if not given:
        return tuple(map(str, range(columns))) if columns > 1 else ()
    if wrong := [each for each in given if not fits(each, CLASS)]:
        raise UserError(
            f"The class {wrong[0][:64]!r} is not 1 to 64 of the characters A-Za-z0-9_.-: name it otherwise."
        )
    if len(set(given)) < len(given):
        raise UserError("A class is named twice: name each column's own class.")
    if len(given) != columns or columns < 2:
        raise UserError(
            f"The classes are {len(given)}, but the model {file} answers {columns} column{'s' if columns > 1 else ''}: "
            "name as many, in their order, of a model that answers a probability for each."
        )
    return tuple(given)


def judged(warehouse: Warehouse, imported: Imported, snapshot: Manifest) -> HeadManifest:
    """Its manifest with its measures on a snapshot's test split. Raises UserError when they do not fit together."""
    measures = reevaluate(warehouse, HeadSession(imported.manifest, imported.graph), snapshot)
    told = imported.manifest.hyperparameters | {"judged_on": snapshot.snapshot_id}
    return imported.manifest.model_copy(update={"metrics": measures, "hyperparameters": told})
