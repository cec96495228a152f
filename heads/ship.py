"""Shipping a trained head: its folder, and the registry's row."""

import shutil
from pathlib import Path

from heads import artefact, registry
from heads.artefact import HeadManifest
from heads.evaluation import Evaluation
from heads.graph import to_onnx
from heads.training import Trained
from sql.warehouse import Warehouse


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
    version = registry.next_version(warehouse, manifest.head)
    folder = home / manifest.head / str(version)
    written = artefact.write(folder, manifest.model_copy(update={"version": version}), graph, evaluation)
    try:
        registry.register(warehouse, written)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return written, folder


def copy(folder: Path, target: Path) -> HeadManifest:
    """Copy a head's folder, checked, to a place where there is none. Raises UserError."""
    manifest, graph = artefact.read(folder)
    artefact.write(target, manifest, graph, artefact.read_evaluation(folder))
    return manifest
