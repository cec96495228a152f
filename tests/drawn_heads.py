"""Folders of heads with random weights, seeded by their names: they need no snapshot and no training."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.heads import artefact
from rawless.heads.artefact import DomainManifest, HeadManifest
from rawless.heads.domain import FittedDomain
from rawless.heads.feed_forward import Classifier, Regression
from rawless.heads.kinds.pair import Pair
from rawless.heads.kinds.query_transform import QueryTransform
from rawless.heads.modules import Head
from rawless.heads.onnx_graph import to_onnx

CLASSES = ("account", "app", "payment")
_KINDS: Mapping[str, Callable[[int, int], Head]] = {
    "linear": lambda dimension, classes: Classifier(dimension, (), classes, 0.0),
    "number": lambda dimension, _: Regression(dimension, (), 0.0),
    "pair": lambda dimension, _: Pair(dimension, (8,), 0.0),
    "query_transform": lambda dimension, _: QueryTransform(dimension),
    "by_tenant": lambda dimension, _: QueryTransform(dimension, tenants=2),
}


def write_head(
    heads: Path, name: str, version: int = 1, spec: EncoderSpec | None = None, kind: str = "linear", **fields: Any
) -> HeadManifest:
    """Write a head whose random weights are seeded by its name and version; `fields` override those of its manifest."""
    encoder = spec or lookup("minilm@1.0.0")
    classes = fields.pop("classes", CLASSES if kind == "linear" else ())
    is_identity = fields.pop("identity", False)
    domain: FittedDomain | None = fields.pop("domain", None)
    torch.manual_seed(_seed(f"{name}{version}"))
    features = fields.get("features", ())
    head = (
        Classifier(encoder.dimension, (), len(classes), 0.0, features)
        if features
        else _KINDS[kind](encoder.dimension, len(classes))
    )
    for parameter in () if is_identity else head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    graph = to_onnx(head, encoder.dimension)
    manifest: dict[str, Any] = {
        "head": name,
        "version": version,
        "kind": {"number": "linear", "by_tenant": "query_transform"}.get(kind, kind),
        "encoder": encoder.name,
        "encoder_version": encoder.version,
        "fingerprint": encoder.fingerprint,
        "encoder_space": artefact.recorded_space(encoder.space, encoder.fingerprint),
        "snapshot_id": None,
        "classes": classes,
        "metrics": (),
        "hyperparameters": {},
        "libraries": {},
        "created_at": datetime.now(UTC),
        "domain": domain and DomainManifest(quantile=domain.quantile, threshold=domain.threshold),
        **artefact.tensors(graph),
    }
    folder, written = heads / name / str(version), HeadManifest(**(manifest | fields))
    distances = to_onnx(domain.module, encoder.dimension).SerializeToString() if domain else None
    return artefact.write(folder, written, graph.SerializeToString(deterministic=True), domain=distances)


def _seed(text: str) -> int:
    """Return a seed that is the same in every process."""
    return int.from_bytes(text.encode(), "big") % 2**32
