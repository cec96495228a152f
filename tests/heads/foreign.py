"""Models as others make them, and an encoder whose vectors they take."""

import importlib.util
import subprocess
import sys
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
made (float[rows, 8] vector) => (float[rows, 2] answer)
<float[8, 2] weights = {1, -1, 1, -1, 1, -1, 1, -1, 0, 0, 0, 0, 0, 0, 0, 0}>
{
  summed = MatMul(vector, weights)
  answer = Softmax <axis = 1> (summed)
}
"""
"""In ONNX's own text."""
_TENSORFLOW = """
import sys
import numpy as np
import tensorflow
import tf2onnx

weights = np.load(sys.argv[1])
vectors = tensorflow.TensorSpec([None, weights.shape[0]], tensorflow.float32, name="vectors")
answer = tensorflow.function(lambda rows: tensorflow.nn.softmax(tensorflow.nn.relu(rows) @ weights), [vectors])
tf2onnx.convert.from_function(answer, [vectors], opset=18, output_path=sys.argv[2])
"""


def spec(folder: Path) -> tuple[EncoderSpec, Path]:
    """A sealed encoder of eight values, and its file. There are no weights of it: heads need none."""
    fields = lookup("minilm@1.0.0").model_dump(mode="json")
    probe = Probe.of("a", np.ones(DIMENSION, np.float32)).model_dump(mode="json")
    path = folder / "eight.yaml"
    path.write_text(yaml.safe_dump(fields | {"name": "eight", "dimension": DIMENSION, "probe": probe}))
    return lookup(str(path)), path


def answer(imported: ImportedModel, **rows: Any) -> Any:
    """What it answers as a head, to `ROWS` where no others are given."""
    (answered,) = HeadSession(imported.manifest, imported.graph).answer(**(rows or {"embedding": ROWS})).values()
    return answered


def written(path: Path, text: str) -> Path:
    """A model written in ONNX's text."""
    path.write_bytes(parser.parse_model(text).SerializeToString())
    return path


def from_torch(path: Path, layers: nn.Module, count: int = 1) -> Path:
    """As torch's exporter writes it, of one input or two."""
    rows = torch.export.Dim("rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(
            layers.eval(), tuple(torch.zeros(3, DIMENSION) for _ in range(count)), path, verbose=False,
            dynamic_shapes=tuple({0: rows} for _ in range(count)), external_data=False,
        )  # fmt: skip
    return path


def from_scikit_learn(path: Path, model: Any, **options: object) -> Path:
    """As skl2onnx writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = to_onnx(model, ROWS[:1], options={id(model): options} if options else None)
    path.write_bytes(made.SerializeToString())
    return path


def has_tensorflow() -> bool:
    """Whether TensorFlow and its converter are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("tensorflow", "tf2onnx"))


def from_tensorflow(path: Path, weights: Any) -> Path:
    """As tf2onnx writes it, in a process of its own: TensorFlow and torch do not share one gladly."""
    np.save(path.with_suffix(".npy"), weights)
    subprocess.run(
        [sys.executable, "-c", _TENSORFLOW, str(path.with_suffix(".npy")), str(path)], check=True, capture_output=True
    )
    return path
