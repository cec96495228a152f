"""A SavedModel is converted by another interpreter, of which nothing is expected."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.importing import saved_model
from rawless.heads.importing.importer import import_model
from tests.heads.foreign import PLAIN, answer, written

_REPORT = {
    "signature": "serving_default",
    "variables": [["weights", [8, 2], "float32"]],
    "libraries": {"tensorflow": "2", "tf2onnx": "1"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A SavedModel as far as it can be seen without TensorFlow."""
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    return folder


def _interpreter(path: Path, *lines: str) -> str:
    """Write a program that is called like the interpreter, with the converter, the model and the target."""
    path.write_text(f"#!{sys.executable} -IS\n" + "\n".join(("import os, shutil, sys", "target = sys.argv[4]", *lines)))
    path.chmod(0o700)
    return str(path)


def _reporting(path: Path, report: dict[str, Any]) -> str:
    plain = written(path.with_suffix(".onnx"), PLAIN)
    return _interpreter(
        path,
        f"shutil.copy({str(plain)!r}, target + '/model.onnx')",
        f"open(target + '/report.json', 'w').write({json.dumps(report)!r})",
        "open(sys.argv[0] + '.environment', 'w').write(' '.join(os.environ))",
    )


@pytest.mark.usefixtures("in_this_process")
def test_a_converted_model_is_imported_with_its_variables(
    tmp_path: Path, eight: EncoderSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.chdir(tmp_path)
    _reporting(tmp_path / "python", _REPORT)

    imported = import_model(folder, eight, "foreign", tensorflow="./python")
    plain = import_model(written(tmp_path / "model.onnx", PLAIN), eight, "foreign")
    np.testing.assert_array_equal(answer(imported), answer(plain))
    assert [tuple(variable) for variable in imported.variables] == [("weights", (8, 2), "float32")]
    assert imported.manifest.hyperparameters["signature"] == "serving_default"
    assert imported.manifest.libraries["tensorflow"] == "2"
    names = (tmp_path / "python.environment").read_text().split()
    assert "SECRET_KEY" not in names
    assert "HOME" in names
    digest = imported.manifest.hyperparameters["file_digest"]
    (folder / "variables").write_bytes(b"others")
    changed = import_model(folder, eight, "foreign", tensorflow="./python").manifest
    assert changed.hyperparameters["file_digest"] != digest


@pytest.mark.parametrize(
    ("problem", "found", "words"),
    [
        ("load", ["OSError"], r"does not load in TensorFlow \(OSError\)"),
        ("none", [], "has no signature: save it with"),
        ("unknown", ["one", "two"], "has no signature 'three', but one, two: choose one"),
        ("several", ["one", "\x1b[2J"], r"has the signatures one, '\\x1b\[2J': choose one"),
        ("convert", ["ValueError"], r"cannot be converted by tf2onnx \(ValueError\)"),
    ],
)
def test_what_cannot_be_converted_is_refused(
    tmp_path: Path, eight: EncoderSpec, folder: Path, problem: str, found: list[str], words: str
) -> None:
    python = _reporting(tmp_path / "python", {"problem": problem, "found": found})

    with pytest.raises(UserError, match=words):
        import_model(folder, eight, "foreign", signature="three", tensorflow=python)


def test_an_interpreter_that_cannot_convert_is_named(
    tmp_path: Path, eight: EncoderSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = _interpreter(tmp_path / "crashing", "os.abort()")
    stalling = _interpreter(tmp_path / "stalling", "import time; time.sleep(100)")

    with pytest.raises(UserError, match=r"has no package tensorflow: create an environment .* --tensorflow"):
        import_model(folder, eight, "foreign")
    with pytest.raises(UserError, match=r"interpreter /nowhere cannot be started \(FileNotFoundError\): name"):
        import_model(folder, eight, "foreign", tensorflow="/nowhere")
    with pytest.raises(UserError, match=r"conversion of .* crashed"):
        import_model(folder, eight, "foreign", tensorflow=crashing)
    monkeypatch.setattr(saved_model, "MAX_SECONDS", 0.01)
    with pytest.raises(UserError, match=r"was not converted within 0\.01 seconds"):
        import_model(folder, eight, "foreign", tensorflow=stalling)


def test_a_signature_is_refused_where_there_is_none(tmp_path: Path, eight: EncoderSpec) -> None:
    with pytest.raises(UserError, match="is not the folder of a SavedModel, so it has no signatures: omit"):
        import_model(written(tmp_path / "model.onnx", PLAIN), eight, "foreign", signature="one")
