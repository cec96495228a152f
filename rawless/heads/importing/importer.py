"""Importing a model that was trained elsewhere as a head."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx

from encoders.query_role import refuse_documents
from encoders.spec import EncoderSpec
from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads import artefact
from rawless.heads.artefact import HeadManifest
from rawless.heads.importing import saved_model
from rawless.heads.importing.allowed_operators import MAX_CLASSES
from rawless.heads.importing.class_order import NamedClasses, named_classes
from rawless.heads.importing.model_signature import ModelSignature, TensorInfo, read_signature
from rawless.heads.importing.normal_form import finish, in_order, normal_form
from rawless.heads.importing.onnx_reader import check, read_model
from rawless.heads.importing.trial import ROWS, Array, TrialError, run_trial
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
    classes_from: str = ""
    """What names the classes; empty if nothing does."""
    variables: tuple[TensorInfo, ...] = ()
    """Of the SavedModel that it was converted from."""


@dataclass(frozen=True)
class _Source:
    """An ONNX model as it was read or converted."""

    model: onnx.ModelProto
    digest: str
    folder: Path
    """Where a config.json may name its classes."""
    variables: tuple[TensorInfo, ...] = ()
    hyperparameters: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)


def import_model(
    path: Path,
    encoder: EncoderSpec,
    name: str,
    classes: Sequence[str] = (),
    *,
    signature: str | None = None,
    tensorflow: str | None = None,
) -> ImportedModel:
    """Read, check and try a model over the vectors of an encoder: an ONNX file, or the folder of a SavedModel.

    `signature` is that of the SavedModel and `tensorflow` the interpreter that converts it, see `saved_model.convert`.
    Raises UserError that names what does not fit.
    """
    if not fits(name, NAME):
        raise UserError(
            f"The name {name!r} is not 1 to 63 of the characters a-z0-9_, beginning with a letter: choose another."
        )
    refuse_documents(encoder, "The encoder of a head")
    fingerprint = encoder.fingerprint
    source = _read(path, signature, tensorflow)
    read = read_signature(source.model, encoder.dimension, path)
    head = normal_form(source.model, read, encoder.dimension)
    check(head, path)
    columns = _try(head.SerializeToString(deterministic=True), path)
    finish(head, columns)
    graph = head.SerializeToString(deterministic=True)
    named = named_classes(source.model, columns, source.folder) if columns > 1 else ()
    named_by_user = [NamedClasses(tuple(classes), "--classes")] if classes else []
    manifest = HeadManifest(
        head=name,
        version=1,
        kind=artefact.IMPORTED,
        encoder=encoder.name,
        encoder_version=encoder.version,
        fingerprint=fingerprint,
        encoder_space=artefact.recorded_space(encoder.space, fingerprint),
        snapshot_id=None,
        classes=_classes(classes, named, columns, path),
        **artefact.tensors(head),
        metrics=(),
        hyperparameters={"file_digest": source.digest, **source.hyperparameters},
        libraries=artefact.libraries(("numpy", "onnx", "onnxruntime")) | source.libraries,
        created_at=datetime.now(UTC),
    )
    HeadSession(manifest, graph)
    classes_from = next((each.source for each in (*named_by_user, *named)), "")
    return ImportedModel(read, graph, manifest, classes_from, source.variables)


def _read(path: Path, signature: str | None, tensorflow: str | None) -> _Source:
    if not path.is_dir():
        if signature is not None:
            raise UserError(f"{path} is not the folder of a SavedModel, so it has no signatures: omit --signature.")
        model = read_model(path)
        return _Source(model, hashlib.sha256(path.read_bytes()).hexdigest(), path.parent)
    converted = saved_model.convert(path, signature, tensorflow)
    return _Source(
        converted.model,
        saved_model.digest(path),
        path,
        converted.variables,
        {"signature": converted.signature},
        converted.libraries,
    )


def _try(graph: bytes, path: Path) -> int:
    """Run a graph on random rows and return the number of its output columns. Raises UserError for wrong answers."""
    try:
        batch, singles = run_trial(graph)
    except TrialError as error:
        raise UserError(f"The model {path} {error}.") from None
    if batch.ndim not in (1, 2) or len(batch) != ROWS or 0 in batch.shape:
        raise UserError(
            f"The model {path} returns the shape {list(batch.shape)} for {ROWS} rows, but a head returns one entry "
            "for each row."
        )
    if not np.isfinite(batch).all():
        raise UserError(f"The model {path} returns a number that is not finite: check its weights.")
    if any(
        single.shape != row.shape or not _is_close(single, row)
        for single, row in zip(singles, batch[:, None], strict=True)
    ):
        raise UserError(
            f"The model {path} answers differently for a row alone and in a batch: export it without operators that "
            "combine rows."
        )
    columns = batch.shape[1] if batch.ndim == 2 else 1
    if columns > 1:
        _check_probabilities(batch, path)
    return columns


def _is_close(one: Array, other: Array) -> bool:
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))


def _check_probabilities(batch: Array, path: Path) -> None:
    columns = batch.shape[1]
    if columns > MAX_CLASSES:
        raise UserError(f"The model {path} returns {columns:,} classes, but a head may have {MAX_CLASSES:,}.")
    if batch.min() < -TOLERANCE or not np.allclose(batch.sum(1), 1, atol=10 * TOLERANCE):
        raise UserError(
            f"The model {path} returns {columns} columns that are not probabilities, since their sum is not 1: "
            "end it with a softmax."
        )


def _classes(names: Sequence[str], named: Sequence[NamedClasses], columns: int, path: Path) -> tuple[str, ...]:
    """Return the checked names. Without names, those that the model itself gives, else numbers from 0."""
    if not names:
        return _own_classes(named, columns, path) if columns > 1 else ()
    if invalid := [name for name in names if not fits(name, CLASS)]:
        raise UserError(
            f"The class {invalid[0][:64]!r} is not 1 to 64 of the characters A-Za-z0-9_.-: choose another name."
        )
    if len(set(names)) < len(names):
        raise UserError("Two classes have the same name: give each column a name of its own.")
    if len(names) != columns or columns < 2:
        raise UserError(
            f"There are {len(names)} class names, but the model {path} returns {columns} "
            f"column{'s' if columns > 1 else ''}: give one name for each column of probabilities, in their order."
        )
    for own, source in named:
        if len(own) == columns and any(name in own and own[column] != name for column, name in enumerate(names)):
            raise UserError(
                f"The classes {', '.join(names)} are in another order than those of the model {path}, where "
                f"{source} says {_list(own)}: give them in the model's order, or leave --classes out."
            )
    return tuple(names)


def _own_classes(named: Sequence[NamedClasses], columns: int, path: Path) -> tuple[str, ...]:
    if not named:
        return tuple(map(str, range(columns)))
    (names, source), *others = named
    where = f"The classes of {path} by {source}"
    if len(names) != columns or len(set(names)) < columns:
        raise UserError(
            f"{where} are {_list(names)}, but it returns {columns} columns: correct them, or give one name for each "
            "column with --classes."
        )
    if invalid := [name for name in names if not fits(name, CLASS)]:
        raise UserError(
            f"{where} include {invalid[0][:64]!r}, which is not 1 to 64 of the characters A-Za-z0-9_.-: give other "
            "names in the order of the columns with --classes."
        )
    for other, other_source in others:
        if set(other) == set(names) and other != names:
            raise UserError(
                f"{where} are {_list(names)}, but by {other_source} they are {_list(other)}: correct one of them."
            )
    return names


def _list(names: Sequence[str]) -> str:
    """Return the first names of untrusted classes, shortened."""
    shown = ", ".join(name[:64] if name.isprintable() else repr(name[:64]) for name in names[:20])
    return f"{shown}{'' if len(names) <= 20 else f' and {len(names) - 20} more'}"


def evaluated(warehouse: Warehouse, imported: ImportedModel, snapshot: Manifest) -> ImportedModel:
    """Return the model with metrics on a snapshot's test split, and with its columns in the order of its classes.

    Raises UserError when they do not fit together.
    """
    from rawless.heads.reevaluate import reevaluate  # torch, which importing alone does not need

    ordered = _ordered(imported, snapshot)
    metrics = reevaluate(warehouse, HeadSession(ordered.manifest, ordered.graph), snapshot).metrics
    hyperparameters = ordered.manifest.hyperparameters | {"judged_on": snapshot.snapshot_id}
    manifest = ordered.manifest.model_copy(update={"metrics": metrics, "hyperparameters": hyperparameters})
    return replace(ordered, manifest=manifest)


def _ordered(imported: ImportedModel, snapshot: Manifest) -> ImportedModel:
    """Return the model with its columns in the order of a snapshot's classes. Raises UserError for other classes."""
    manifest, wanted = imported.manifest, snapshot.classes
    if manifest.fingerprint != snapshot.fingerprint or not (manifest.classes and wanted) or manifest.classes == wanted:
        return imported
    if set(manifest.classes) != set(wanted):
        differences = [
            f"{owner} has {_list([name for name in names if name not in others])}"
            for owner, names, others in (
                ("only the model", manifest.classes, wanted),
                ("only the snapshot", wanted, manifest.classes),
            )
            if not set(names) <= set(others)
        ]
        fix = "import it for another dataset" if imported.classes_from else "name its columns with --classes"
        raise UserError(
            f"The classes of {manifest.head} are not those of {snapshot.snapshot_id}: {', and '.join(differences)}; "
            f"{fix}."
        )
    graph = in_order(imported.graph, [manifest.classes.index(name) for name in wanted])
    return replace(imported, graph=graph, manifest=manifest.model_copy(update={"classes": wanted}))
