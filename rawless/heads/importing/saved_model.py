"""Reading a SavedModel of TensorFlow as an ONNX model.

TensorFlow conflicts with torch in one process and is 1.4 GB, so it runs in the interpreter of another environment.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from rawless import telemetry
from rawless.errors import UserError
from rawless.heads.importing import tensorflow_converter
from rawless.heads.importing.allowed_operators import MAX_NAME_LENGTH
from rawless.heads.importing.model_signature import TensorInfo
from rawless.heads.importing.onnx_reader import read_model

MAX_SECONDS = 300
GRAPH = "saved_model.pb"
"""The file that makes a folder a SavedModel."""
_PACKAGES = "tensorflow-cpu==2.21.0 tf2onnx==1.17.0"
_PROBLEMS = {
    "packages": "cannot be converted, since {python} has no package {found}: create an environment with "
    f"`uv venv --python 3.11 tf` and `uv pip install --python tf {_PACKAGES}`, and name its interpreter with "
    f"--tensorflow tf/bin/python or in {tensorflow_converter.INTERPRETER}",
    "load": "does not load in TensorFlow ({found}): save it again with tf.saved_model.save or Keras's model.export",
    "none": "has no signature: save it with tf.saved_model.save(model, folder, signatures=…) or Keras's model.export",
    "unknown": "has no signature {requested!r}, but {found}: choose one of them with --signature",
    "several": "has the signatures {found}: choose one of them with --signature",
    "convert": "cannot be converted by tf2onnx ({found}): save a signature of TensorFlow's own operators that takes "
    "vectors of float32",
}
"""What the converter found instead of a model, as the predicate of a sentence."""


class ConvertedModel(NamedTuple):
    """A SavedModel as an ONNX model."""

    model: onnx.ModelProto
    signature: str
    variables: tuple[TensorInfo, ...]
    """The variables of its signature."""
    libraries: dict[str, str]
    """The versions that converted it."""


def convert(folder: Path, signature: str | None = None, python: str | None = None) -> ConvertedModel:
    """Convert a signature of a SavedModel, by default its only one, with the TensorFlow of an interpreter.

    By default that is the interpreter of this process. Raises UserError.
    """
    if not (folder / GRAPH).is_file():
        raise UserError(f"The folder {folder} is not a SavedModel, since it has no {GRAPH}: check the path.")
    interpreter = python or sys.executable
    with tempfile.TemporaryDirectory(prefix="rawless-") as target:
        _run(interpreter, folder, Path(target), signature or "")
        try:
            report: dict[str, Any] = json.loads((Path(target) / tensorflow_converter.REPORT).read_text())
        except (OSError, ValueError):
            raise UserError(
                f"The conversion of {folder} crashed: save the model again, or check TensorFlow in {interpreter}."
            ) from None
        if problem := report.get("problem"):
            found = ", ".join(map(_shown, report["found"]))
            predicate = _PROBLEMS[problem].format(python=interpreter, requested=signature, found=found)
            raise UserError(f"The SavedModel {folder} {predicate}.")
        model = read_model(Path(target) / tensorflow_converter.MODEL, named=folder)
    variables = tuple(TensorInfo(_shown(name), tuple(shape), kind) for name, shape, kind in report["variables"])
    return ConvertedModel(model, _shown(report["signature"]), variables, report["libraries"])


def _shown(name: str) -> str:
    """Return a name of a SavedModel as it may be printed."""
    return name[:MAX_NAME_LENGTH] if name.isprintable() else ascii(name[:MAX_NAME_LENGTH])


def _run(python: str, folder: Path, target: Path, signature: str) -> None:
    """Run the converter without the variables of this process, where keys and credentials may be."""
    inherited = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in os.environ}
    environment = {
        **inherited,
        **telemetry.VARIABLES,
        "CUDA_VISIBLE_DEVICES": "-1",
        "HOME": str(target),  # Keras writes its settings there
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    program = str(Path(python).absolute()) if os.sep in python else python  # it runs in another folder
    command = [program, "-I", tensorflow_converter.__file__, str(folder.resolve()), str(target), signature]
    try:
        subprocess.run(command, env=environment, cwd=target, capture_output=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"The SavedModel {folder} was not converted within {MAX_SECONDS} seconds: make it smaller."
        ) from None
    except OSError as error:
        raise UserError(
            f"The interpreter {python} cannot be started ({type(error).__name__}): name that of an environment with "
            f"{_PACKAGES} by --tensorflow or {tensorflow_converter.INTERPRETER}."
        ) from None


def digest(folder: Path) -> str:
    """Return the sha256 over the paths and contents of all files of a folder."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        whole.update(f"{content.hexdigest()} {path.relative_to(folder).as_posix()}\n".encode())
    return whole.hexdigest()
