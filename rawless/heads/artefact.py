"""A head as a folder: `head.onnx`, `manifest.json` and, where it was trained here, `evaluation.json`. No pickle.

Whoever has the folder can ask the head; the manifest says what it needs and answers.
"""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Literal, NamedTuple

import onnx
from pydantic import BaseModel, ConfigDict, Field

from rawless.config import check
from rawless.errors import UserError
from rawless.heads.evaluation import Evaluation
from rawless.heads.metrics import Measure
from rawless.heads.onnx_graph import to_onnx
from rawless.heads.training import Trained

MODEL, MANIFEST, EVALUATION = "head.onnx", "manifest.json", "evaluation.json"
_LIBRARIES = ("numpy", "onnx", "torch")


class Tensor(NamedTuple):
    """An input or output: its shape, in which a name stands for any number, and its type."""

    name: str
    shape: tuple[int | str, ...]
    type: Literal["float32", "int64"]

    def __str__(self) -> str:
        return f"{self.name} {self.type} {list(self.shape)}"


class HeadManifest(BaseModel):
    """What a head is, needs and answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    head: str
    version: int = Field(ge=1)
    kind: Literal["linear", "mlp", "pair", "query_transform", "imported"]
    encoder: str
    encoder_version: str
    fingerprint: str
    """Of the encoder whose vectors it takes, and of no other."""
    snapshot_id: str | None
    """What it was trained on, where that is known."""
    classes: tuple[str, ...]
    """Of its probabilities, in their order; of a pair's score the last is the match."""
    tenants: tuple[str, ...] = ()
    """The first is any other."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metrics: tuple[Measure, ...]
    """On test."""
    hyperparameters: dict[str, Any]
    libraries: dict[str, str]
    created_at: datetime
    digest: str = ""
    """sha256 over the graph and all else in this manifest."""

    def sealed(self, graph: bytes) -> "HeadManifest":
        """With the digest that fits."""
        return self.model_copy(update={"digest": self.digest_with(graph)})

    def digest_with(self, graph: bytes) -> str:
        """Over a graph and this manifest."""
        fields = json.dumps(self.model_dump(mode="json", exclude={"digest"}), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(hashlib.sha256(graph).digest() + fields.encode()).hexdigest()


def manifest_of(trained: Trained, version: int = 1) -> HeadManifest:
    """What is told of a trained head."""
    task, snapshot = trained.task, trained.task.manifest
    encoder, _, encoder_version = str(snapshot.spec["spec"]["encoder"]).partition("@")
    return HeadManifest(
        head=task.spec.head,
        version=version,
        kind=task.spec.kind,
        encoder=encoder,
        encoder_version=encoder_version,
        fingerprint=snapshot.fingerprint,
        snapshot_id=snapshot.snapshot_id,
        classes=trained.evaluation.classes,
        tenants=task.tenants,
        **tensors(to_onnx(trained.head, task.dimension)),
        metrics=trained.evaluation.measures,
        hyperparameters=task.spec.model_dump(mode="json", exclude={"head", "snapshot", "kind"}),
        libraries=libraries(),
        created_at=datetime.now(UTC),
    )


def tensors(model: onnx.ModelProto) -> dict[str, tuple[Tensor, ...]]:
    """The inputs and outputs of a graph, by these names."""
    return {
        "inputs": tuple(_tensor(each) for each in model.graph.input),
        "outputs": tuple(_tensor(each) for each in model.graph.output),
    }


def _tensor(told: onnx.ValueInfoProto) -> Tensor:
    tensor = told.type.tensor_type
    types: Mapping[int, Literal["float32", "int64"]] = {1: "float32", 7: "int64"}
    shape = tuple(each.dim_param or each.dim_value for each in tensor.shape.dim)
    return Tensor(told.name, shape, types[tensor.elem_type])


def libraries(names: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    """The versions of what made a head."""
    return {"python": platform.python_version(), **{name: version_of(name) for name in names}}


def write(folder: Path, manifest: HeadManifest, graph: bytes, evaluation: Evaluation | None = None) -> HeadManifest:
    """Write a head into a new folder, the manifest last; returns it with its digest. Raises UserError."""
    sealed = manifest.sealed(graph)
    try:
        folder.mkdir(parents=True)
        (folder / MODEL).write_bytes(graph)
        if evaluation is not None:
            (folder / EVALUATION).write_text(evaluation.model_dump_json(indent=2))
        (folder / MANIFEST).write_text(sealed.model_dump_json(indent=2))
    except FileExistsError:
        raise UserError(f"The folder {folder} exists: name another.") from None
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be written ({type(error).__name__}): name another.") from None
    return sealed


def read(folder: Path) -> tuple[HeadManifest, bytes]:
    """The manifest and graph of a head's folder. Raises UserError for one that is missing, broken or changed."""
    try:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        graph = (folder / MODEL).read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{folder} is no head's folder: {MODEL} and {MANIFEST} cannot be read there ({type(error).__name__})."
        ) from None
    manifest = check(fields, HeadManifest, where=f"The manifest of {folder}")
    if manifest.digest != manifest.digest_with(graph):
        raise UserError(f"The head in {folder} was changed since it was written: its digest does not fit.")
    return manifest, graph


def read_evaluation(folder: Path) -> Evaluation | None:
    """What was measured of a head, or None for one that was made elsewhere. Raises UserError."""
    path = folder / EVALUATION
    if not path.is_file():
        return None
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}): train the head again.") from None
