"""`rawless encoder backfill`: what a plan says, what was written, and that a repetition writes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoders.spec import EncoderSpec
from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from tests.adapters import make_adapted, upload

Rawless = Callable[..., Any]


@pytest.fixture(scope="module")
def adapted_file(
    tiny_sealed: EncoderSpec,
    tiny_spec: Callable[..., EncoderSpec],
    stack: Stack,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The spec file of an adapted encoder, from which the stream `backfilled` has four rows."""
    folder = tmp_path_factory.mktemp("backfill")
    adapted = make_adapted(tiny_sealed, tiny_spec, folder / "made")
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    warehouse.ensure()
    upload(warehouse, adapted.source, range(4), stream="backfilled")
    file = folder / "adapted.yaml"
    file.write_text(adapted.spec.model_dump_json())
    return file


def test_a_backfill_is_planned_run_and_not_repeated(rawless: Rawless, adapted_file: Path) -> None:
    backfill = ("encoder", "backfill", adapted_file, "--stream", "backfilled", "--engine", "sql")

    planned = rawless(*backfill, "--plan", "--json").json
    assert (planned["rows"], planned["encoder"]) == (4, "target-from-tiny@1.0.0")
    assert 0 < planned["written_bytes"] < planned["read_bytes"]
    assert "4 rows by target-from-tiny@1.0.0 to write" in rawless(*backfill, "--plan").out

    assert "4 of 4 rows by target-from-tiny@1.0.0 written." in rawless(*backfill).out
    assert "nothing to adapt" in rawless(*backfill).out


def test_mistakes_are_answered_with_one_sentence(rawless: Rawless, adapted_file: Path) -> None:
    done = rawless("encoder", "backfill", adapted_file, "--stream", "unknown")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "No event of unknown has a vector" in done.err
    done = rawless("encoder", "backfill", adapted_file, "--stream", "backfilled", "--", "--nonsense=1")
    assert done.code == 2
    assert "The Beam option --nonsense is unknown" in done.err
