"""Publishing heads: writing the folder of a new version, registering it, and copying it elsewhere."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rawless.config import check
from rawless.errors import UserError
from rawless.files import owner_only
from rawless.heads import artefact, registry
from rawless.heads.artefact import DomainManifest, FolderExists, HeadManifest
from rawless.heads.evaluation import Evaluation
from rawless.heads.registry import RegisteredHead
from rawless.heads.spec import HeadSpec, spec_type
from rawless.warehouse.client import Warehouse

if TYPE_CHECKING:  # torch, which only training needs
    from rawless.heads.examples import Task
    from rawless.heads.training import TrainedHead

_UNSET_OPTIONS: dict[str, Any] = {"hidden": [], "positive": None, "tenant": None}
"""Manifests record these options for heads of every kind, also of those that do not have them."""


def manifest_of(trained: "TrainedHead", version: int = 1) -> HeadManifest:
    """Return the manifest of a trained head, without digests."""
    from rawless.heads.onnx_graph import to_onnx

    task, snapshot, domain = trained.task, trained.task.manifest, trained.domain
    encoder, _, encoder_version = str(snapshot.spec["spec"]["encoder"]).partition("@")
    return HeadManifest(
        head=task.spec.head,
        version=version,
        kind=task.spec.kind,
        encoder=encoder,
        encoder_version=encoder_version,
        fingerprint=snapshot.fingerprint,
        encoder_space=artefact.recorded_space(snapshot.space, snapshot.fingerprint),
        snapshot_id=snapshot.snapshot_id,
        adapted=snapshot.adapted,
        classes=trained.evaluation.classes,
        tenants=task.tenants,
        features=task.features,
        **artefact.tensors(to_onnx(trained.head, task.dimension)),
        metrics=trained.evaluation.measures,
        hyperparameters=_hyperparameters(task),
        libraries=artefact.libraries(),
        created_at=datetime.now(UTC),
        domain=domain and DomainManifest(quantile=domain.quantile, threshold=domain.threshold),
    )


def graphs_of(trained: "TrainedHead") -> tuple[bytes, bytes | None]:
    """Return the graph of a trained head, and that of its domain if it has one."""
    from rawless.heads.onnx_graph import to_onnx

    dimension = trained.task.dimension
    graph = to_onnx(trained.head, dimension).SerializeToString(deterministic=True)
    if trained.domain is None:
        return graph, None
    return graph, to_onnx(trained.domain.module, dimension).SerializeToString(deterministic=True)


def _hyperparameters(task: "Task") -> dict[str, Any]:
    options = _UNSET_OPTIONS | task.spec.model_dump(mode="json", exclude={"head", "snapshot", "kind", "features"})
    return options | ({"positive": task.classes[-1]} if task.kind.is_of_pairs else {})


def spec_of(manifest: HeadManifest) -> HeadSpec:
    """Return the spec by which a head was trained. Raises UserError for one that was trained elsewhere."""
    if manifest.kind == artefact.IMPORTED:
        raise UserError(f"{manifest.head}@{manifest.version} was trained elsewhere: how is not known.")
    features = [feature.name for feature in manifest.features]
    fields = {"head": manifest.head, "snapshot": manifest.snapshot_id, "kind": manifest.kind, "features": features}
    where = f"The manifest of {manifest.head}@{manifest.version}"
    return check(fields | manifest.hyperparameters, spec_type(manifest.kind), where=where)


def publish_trained(warehouse: Warehouse, trained: "TrainedHead", home: Path) -> tuple[HeadManifest, Path]:
    """Publish a trained head, see `publish`."""
    graph, domain = graphs_of(trained)
    return publish(warehouse, manifest_of(trained), graph, home, trained.evaluation, domain)


def publish(
    warehouse: Warehouse,
    manifest: HeadManifest,
    graph: bytes,
    home: Path,
    evaluation: Evaluation | None = None,
    domain: bytes | None = None,
) -> tuple[HeadManifest, Path]:
    """Write a head as the next version of its name below `home`, register it, and return its manifest and folder.

    A head that cannot be registered leaves no folder. A version is skipped if another process registers it first, or
    has left a folder for it. Raises UserError.
    """
    version = registry.next_version(warehouse, manifest.head)
    while True:
        numbered = manifest.model_copy(update={"version": version})
        folder = _folder(numbered, home)
        if written := _publish_version(warehouse, numbered, graph, folder, evaluation, domain):
            return written, folder
        version += 1


def _publish_version(
    warehouse: Warehouse,
    manifest: HeadManifest,
    graph: bytes,
    folder: Path,
    evaluation: Evaluation | None,
    domain: bytes | None,
) -> HeadManifest | None:
    """Write and register one version, and return its manifest, or None if the version is another process's."""
    try:
        with owner_only():
            written = artefact.write(folder, manifest, graph, evaluation, domain)
    except FolderExists:
        return None
    is_registered = False
    try:
        is_registered = registry.register(warehouse, written)
    finally:
        if not is_registered:
            shutil.rmtree(folder, ignore_errors=True)
    return written if is_registered else None


def folder_of(head: RegisteredHead, home: Path) -> Path:
    """Return the folder of a registered head below `home`. Raises UserError when it is missing."""
    folder = _folder(head, home)
    if not folder.is_dir():
        raise UserError(
            f"The head {head.head}@{head.version} is registered, but its folder {folder} does not exist on this "
            "machine: run the command where the head was published."
        )
    return folder


def _folder(head: HeadManifest | RegisteredHead, home: Path) -> Path:
    return home / head.head / str(head.version)


def copy(folder: Path, target: Path) -> HeadManifest:
    """Check a head's folder and copy it to a new folder. Raises UserError."""
    manifest, graph, domain = artefact.read(folder)
    artefact.write(target, manifest, graph, artefact.read_evaluation(folder), domain)
    return manifest


def copy_to_heads(head: RegisteredHead, home: Path, heads: Path) -> None:
    """Copy a registered head from below `home` to below `heads`, unless it is there already. Raises UserError."""
    folder, target = folder_of(head, home), _folder(head, heads)
    if not target.is_dir():
        copy(folder, target)
    elif artefact.read(target).manifest.digest != head.artefact_digest:
        raise UserError(f"{target} contains another {head.head}@{head.version}: deploy to another folder.")
