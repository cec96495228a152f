"""Commands that only ask the warehouse import nothing that computes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPUTES = {"torch", "scipy", "sklearn", "transformers", "openvino", "onnxruntime", "apache_beam", "plotly", "IPython"}
RUN = """
import sys
from rawless.cli import main
sys.argv[1:] = sys.argv[1].split("|")
try:
    main.main()
finally:
    print(*{name.partition(".")[0] for name, module in sys.modules.items() if module}, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "init|--name|topic|--modality|text|--classes|a,b|--to|{folder}",
        "sql|SELECT 1",
        "head|list",
        "dataset|list",
        "local|status",
    ],
)
def test_a_command_imports_no_library_that_computes(command: str, own_home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, command.format(folder=tmp_path / "topic")],
        env={**os.environ, "RAWLESS_HOME": str(own_home)}, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.split())
    assert "rawless" in imported
    assert imported & COMPUTES == set()
