"""Shipping a trained head: its folder, and the registry's row."""

import shutil
from pathlib import Path

from rawless.errors import UserError
from rawless.heads import artefact, registry
from rawless.heads.artefact import HeadManifest
from rawless.heads.evaluation import Evaluation
from rawless.heads.onnx_graph import to_onnx
from rawless.heads.registry import Registered
from rawless.heads.training import Trained
from rawless.warehouse.client import Warehouse


def ship(warehouse: Warehouse, trained: Trained, home: Path) -> tuple[HeadManifest, Path]:
    """Write a trained head as the next version of its name below `home`, and register it. Raises UserError."""
    graph = to_onnx(trained.head, trained.task.dimension).SerializeToString(deterministic=True)
    return place(warehouse, artefact.manifest_of(trained), graph, home, trained.evaluation)


def place(
    warehouse: Warehouse, manifest: HeadManifest, graph: bytes, home: Path, evaluation: Evaluation | None = None
) -> tuple[HeadManifest, Path]:
    """Write a head as the next version of its name below `home`, and register it. Raises UserError.

    A head that cannot be registered leaves no folder.
    """
    manifest = manifest.model_copy(update={"version": registry.next_version(warehouse, manifest.head)})
    folder = _folder(manifest, home)
    written = artefact.write(folder, manifest, graph, evaluation)
    try:
        registry.register(warehouse, written)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return written, folder


def folder_of(head: Registered, home: Path) -> Path:
    """Where a registered head lies below `home`. Raises UserError when it does not."""
    folder = _folder(head, home)
    if not folder.is_dir():
        raise UserError(f"The head {head.head}@{head.version} is registered, but its folder {folder} is not here.")
    return folder


def _folder(head: HeadManifest | Registered, home: Path) -> Path:
    return home / head.head / str(head.version)


def copy(folder: Path, target: Path) -> HeadManifest:
    """Copy a head's folder, checked, to a place where there is none. Raises UserError."""
    manifest, graph = artefact.read(folder)
    artefact.write(target, manifest, graph, artefact.read_evaluation(folder))
    return manifest


def bring(head: Registered, home: Path, heads: Path) -> None:
    """Copy a registered head from below `home` to below `heads`, unless it is there. Raises UserError."""
    folder, target = folder_of(head, home), _folder(head, heads)
    if not target.is_dir():
        copy(folder, target)
    elif artefact.read(target)[0].digest != head.artefact_digest:
        raise UserError(f"{target} holds another {head.head}@{head.version}: deploy to another folder.")
