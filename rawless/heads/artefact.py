"""A head as a folder: `head.onnx`, `manifest.json`, and for a trained one `domain.onnx` and `evaluation.json`."""

import hashlib
import json
import operator
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import onnx
from pydantic import ConfigDict, Field

from rawless.config import FrozenModel, check
from rawless.errors import UserError
from rawless.heads import kinds
from rawless.heads.evaluation import Evaluation
from rawless.heads.features import HeadFeature
from rawless.heads.metrics import Metric
from rawless.heads.signature import Interface
from rawless.heads.spec import one_of

MODEL, DOMAIN, MANIFEST, EVALUATION = "head.onnx", "domain.onnx", "manifest.json", "evaluation.json"
IMPORTED = "imported"
"""The kind of a head that was trained elsewhere."""
_LIBRARIES = ("numpy", "onnx", "torch")


class Tensor(NamedTuple):
    """An input or output; a name in its shape means any number."""

    name: str
    shape: tuple[int | str, ...]
    type: Literal["float32", "int64"]

    def __str__(self) -> str:
        return f"{self.name} {self.type} {list(self.shape)}"


class DomainManifest(FrozenModel):
    """Which vectors a classifier abstains from, since they are unlike those that it was trained on."""

    quantile: float
    """The share of rows like those of validation that are in domain."""
    threshold: float
    """The largest distance that is in domain."""
    digest: str = ""
    """sha256 of the graph that returns the distances."""


class HeadManifest(FrozenModel):
    """The manifest of a head: what it is, which vectors it takes and what it returns."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="constants")

    head: str
    version: int = Field(ge=1)
    kind: Annotated[str, one_of(*kinds.NAMES, IMPORTED)]
    encoder: str
    encoder_version: str
    fingerprint: str
    """The fingerprint of the encoder whose vectors it was trained on."""
    encoder_space: str = Field(default="", exclude_if=operator.not_)
    """The space of those vectors, where other encoders share it; left out of the file if none does."""
    snapshot_id: str | None
    """The snapshot that the head was trained on, if known."""
    classes: tuple[str, ...]
    """The classes in the order of the probabilities; the last class of a pair head means a match."""
    tenants: tuple[str, ...] = ()
    """The tenants in the order of their indices; the first represents all others."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metrics: tuple[Metric, ...]
    """The metrics on the test split."""
    hyperparameters: dict[str, Any]
    libraries: dict[str, str]
    created_at: datetime
    features: tuple[HeadFeature, ...] = Field(default=(), exclude_if=operator.not_)
    """The columns of the input `features`, in their order; left out of the file if there are none."""
    domain: DomainManifest | None = None
    """None for a head that answers any vector, as all heads did before heads had a domain."""
    digest: str = ""
    """sha256 over the graph and every other field of the manifest."""

    @property
    def space(self) -> str:
        """The space of the vectors that the head takes, see `EncoderSpec.space`; it takes no others."""
        return self.encoder_space or self.fingerprint

    @property
    def encoder_ref(self) -> str:
        """Name and version of the encoder whose vectors the head was trained on."""
        return f"{self.encoder}@{self.encoder_version}"

    @property
    def interface(self) -> Interface:
        """What the head takes. Raises UserError when its inputs are those of no interface."""
        names = tuple(tensor.name for tensor in self.inputs)
        try:
            return Interface(names)
        except ValueError:
            raise UserError(f"The head {self.head} takes {', '.join(names)}, which Rawless cannot provide.") from None

    def sealed(self, graph: bytes, domain: bytes | None = None) -> "HeadManifest":
        """Return the manifest with its digest and that of the graph of its domain, if it has one."""
        manifest = self
        if self.domain and domain is not None:
            described = self.domain.model_copy(update={"digest": hashlib.sha256(domain).hexdigest()})
            manifest = self.model_copy(update={"domain": described})
        return manifest.model_copy(update={"digest": manifest.digest_with(graph)})

    def digest_with(self, graph: bytes) -> str:
        """Return the digest over a graph and this manifest."""
        # A missing domain is left out, so that the digests of heads from before there were domains stay valid.
        absent = {"digest"} if self.domain else {"digest", "domain"}
        fields = json.dumps(self.model_dump(mode="json", exclude=absent), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(hashlib.sha256(graph).digest() + fields.encode()).hexdigest()


def recorded_space(space: str, fingerprint: str) -> str:
    """Return what a manifest records of a space: nothing if it is the encoder's alone."""
    return "" if space == fingerprint else space


def tensors(model: onnx.ModelProto) -> dict[str, tuple[Tensor, ...]]:
    """Return the fields `inputs` and `outputs` of a graph's manifest."""
    return {
        "inputs": tuple(_tensor(info) for info in model.graph.input),
        "outputs": tuple(_tensor(info) for info in model.graph.output),
    }


def _tensor(info: onnx.ValueInfoProto) -> Tensor:
    tensor = info.type.tensor_type
    types: Mapping[int, Literal["float32", "int64"]] = {
        onnx.TensorProto.FLOAT: "float32",
        onnx.TensorProto.INT64: "int64",
    }
    shape = tuple(dimension.dim_param or dimension.dim_value for dimension in tensor.shape.dim)
    return Tensor(info.name, shape, types[tensor.elem_type])


def libraries(names: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    """Return the installed versions of Python and of these packages."""
    return {"python": platform.python_version(), **{name: version_of(name) for name in names}}


class StoredHead(NamedTuple):
    """What the folder of a head contains, besides its evaluation."""

    manifest: HeadManifest
    graph: bytes
    domain: bytes | None
    """The graph that returns the distances of vectors, if the head has a domain."""


class FolderExists(UserError):
    """The folder that was to be written exists."""


def write(
    folder: Path,
    manifest: HeadManifest,
    graph: bytes,
    evaluation: Evaluation | None = None,
    domain: bytes | None = None,
) -> HeadManifest:
    """Write a head into a new folder, the manifest last, and return the manifest with its digests. Raises UserError."""
    sealed = manifest.sealed(graph, domain)
    try:
        folder.mkdir(parents=True)
        (folder / MODEL).write_bytes(graph)
        if domain is not None:
            (folder / DOMAIN).write_bytes(domain)
        if evaluation is not None:
            (folder / EVALUATION).write_text(evaluation.model_dump_json(indent=2))
        (folder / MANIFEST).write_text(sealed.model_dump_json(indent=2))
    except FileExistsError:
        raise FolderExists(f"The folder {folder} already exists: name a new one.") from None
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be written ({type(error).__name__}): name another.") from None
    return sealed


def read(folder: Path) -> StoredHead:
    """Return manifest and graphs of a head's folder. Raises UserError when it is missing, broken or was changed."""
    try:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        graph = (folder / MODEL).read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{folder} is not the folder of a head: {MODEL} or {MANIFEST} cannot be read ({type(error).__name__})."
        ) from None
    manifest = check(fields, HeadManifest, where=f"The manifest of {folder}")
    domain = _read_domain(folder) if manifest.domain else None
    is_same_domain = domain is None or hashlib.sha256(domain).hexdigest() == (
        manifest.domain and manifest.domain.digest
    )
    if manifest.digest != manifest.digest_with(graph) or not is_same_domain:
        raise UserError(f"The head in {folder} was changed after it was written: its digest does not match.")
    return StoredHead(manifest, graph, domain)


def _read_domain(folder: Path) -> bytes:
    try:
        return (folder / DOMAIN).read_bytes()
    except OSError as error:
        raise UserError(
            f"The head in {folder} has a domain, but {DOMAIN} cannot be read ({type(error).__name__}): copy the whole "
            "folder."
        ) from None


def read_evaluation(folder: Path) -> Evaluation | None:
    """Return the evaluation of a head, or None if there is none, as for an imported head. Raises UserError."""
    path = folder / EVALUATION
    if not path.is_file():
        return None
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}): train the head again.") from None
