"""Kinds of heads are found by their modules, and code that only reads heads needs none of them."""

import subprocess
import sys

import pytest

from rawless.heads import kinds
from rawless.heads.spec import HeadSpec, head_spec


@pytest.mark.parametrize("name", kinds.NAMES)
def test_a_kind_has_a_spec_with_the_name_of_its_module(name: str) -> None:
    spec = head_spec({"head": "topic", "snapshot": "topics", "kind": name})

    assert type(spec) is kinds.find(name).spec_type
    assert isinstance(spec, HeadSpec)


def test_empty_options_count_as_not_given() -> None:
    fields = {"head": "topic", "snapshot": "topics", "hidden": [], "positive": None}

    assert head_spec(fields | {"kind": "mlp"}).model_dump()["hidden"] == (128,)
    assert "hidden" not in head_spec(fields | {"kind": "linear"}).model_dump()


def test_reading_heads_does_not_import_torch() -> None:
    readers = "rawless.heads.session, rawless.heads.registry, rawless.heads.deployment, rawless.heads.spec"
    script = f"import sys, {readers}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
