"""The example of the client's page runs as it is written, but for the address."""

import re
from pathlib import Path

import pytest

from tests.serving.conftest import Bench, bench, tiny_bench

__all__ = ["bench", "tiny_bench"]
PAGE = Path(__file__).parents[2] / "docs" / "client.md"


def test_the_example_of_the_page_prints_predictions_and_a_reason(
    tiny_bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tiny_bench.deploy("topic")
    service = tiny_bench.start({"topic": {}})
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    exec(code.replace("http://localhost:8080", str(service.base_url)), {})

    first, *others = capsys.readouterr().out.splitlines()
    assert first in manifest.classes
    assert [line.split()[0] for line in others] == ["msg-1000", "msg-1001", "msg-1002"]
    assert [line.split()[1] in manifest.classes for line in others] == [True, True, False]
    assert others[-1].endswith("empty_text")
