"""Models that were trained elsewhere, and an encoder whose vectors they take."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from onnx import parser
from skl2onnx import to_onnx
from torch import nn

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec, Probe
from rawless.heads.importing.importer import ImportedModel
from rawless.heads.session import HeadSession

DIMENSION = 8
ROWS = np.random.default_rng(1).standard_normal((50, DIMENSION)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0.5)
"""Three classes."""
PLAIN = """
<ir_version: 10, opset_import: ["": 20]>
model (float[rows, 8] vector) => (float[rows, 2] answer)
<float[8, 2] weights = {1, -1, 1, -1, 1, -1, 1, -1, 0, 0, 0, 0, 0, 0, 0, 0}>
{
  summed = MatMul(vector, weights)
  answer = Softmax <axis = 1> (summed)
}
"""
"""A model in ONNX's text format."""


def spec(folder: Path) -> tuple[EncoderSpec, Path]:
    """Return a sealed encoder of dimension 8 and its file. It has no weights, since heads need none."""
    fields = lookup("minilm@1.0.0").model_dump(mode="json")
    probe = Probe.of("a", np.ones(DIMENSION, np.float32)).model_dump(mode="json")
    path = folder / "eight.yaml"
    path.write_text(yaml.safe_dump(fields | {"name": "eight", "dimension": DIMENSION, "probe": probe}))
    return lookup(str(path)), path


def answer(imported: ImportedModel, **rows: Any) -> Any:
    """Return the answers of an imported head for these rows, by default `ROWS`."""
    (answered,) = HeadSession(imported.manifest, imported.graph).answer(**(rows or {"embedding": ROWS})).values()
    return answered


def written(path: Path, text: str) -> Path:
    """Write a model in ONNX's text format to an ONNX file."""
    path.write_bytes(parser.parse_model(text).SerializeToString())
    return path


def from_torch(path: Path, layers: nn.Module, count: int = 1, opset: int | None = None) -> Path:
    """Write a module of one input or two with torch's exporter."""
    rows = torch.export.Dim("rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter itself
        torch.onnx.export(
            layers.eval(), tuple(torch.zeros(3, DIMENSION) for _ in range(count)), path, verbose=False,
            dynamic_shapes=tuple({0: rows} for _ in range(count)), external_data=False, opset_version=opset,
        )  # fmt: skip
    return path


def from_torchscript(path: Path, layers: nn.Module, count: int = 1, opset: int | None = None, rows: int = 3) -> Path:
    """Write a module with torch's older exporter, which traces it; a single row stays the number of rows."""
    names = ["left", "right"] if count == 2 else ["vector"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            layers.eval(), tuple(torch.zeros(rows, DIMENSION) for _ in range(count)), str(path), dynamo=False,
            input_names=names, dynamic_axes={name: {0: "rows"} for name in names if rows > 1}, opset_version=opset,
        )  # fmt: skip
    return path


def from_scikit_learn(path: Path, model: Any, **options: object) -> Path:
    """Write a model with skl2onnx."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx_model = to_onnx(model, ROWS[:1], options={id(model): options} if options else None)
    path.write_bytes(onnx_model.SerializeToString())
    return path
