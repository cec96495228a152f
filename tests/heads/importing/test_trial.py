"""The process in which an untrusted graph runs."""

import json
import os
import sys
from pathlib import Path

import pytest
from onnx import parser

from rawless import telemetry
from rawless.heads.importing.trial import ROWS, run_trial
from tests.heads.foreign import PLAIN

_INTERPRETER = f"""#!{sys.executable} -IS
import json, os, sys
descriptors = [number for number in range(256) if os.path.exists(f"/proc/self/fd/{{number}}")]
with open(sys.argv[0] + ".json", "w") as file:
    json.dump([dict(os.environ), descriptors], file)
os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])
"""
"""An interpreter that first writes down what it was started with."""


def test_a_graph_runs_without_the_environment_and_the_open_files_of_the_process_that_imports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(_INTERPRETER)
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setenv("RAWLESS_PSEUDONYM_KEY", "c2VjcmV0")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/credentials.json")
    graph = parser.parse_model(PLAIN).SerializeToString()

    with (tmp_path / "content").open("wb") as content:
        os.set_inheritable(content.fileno(), True)
        batch, _ = run_trial(graph)

    environment, descriptors = json.loads((tmp_path / "python.json").read_text())
    own_path = {"LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH"}
    assert len(batch) == ROWS
    assert environment.keys() - own_path == {*telemetry.VARIABLES, "OPENBLAS_NUM_THREADS"}
    assert descriptors == [0, 1, 2]
