"""Launching a job elsewhere: it loads no encoder, and imports no library of encoders."""

from pathlib import Path

import pytest

from benchmarks.launching import launch
from encoders.spec import EncoderSpec
from rawless import job
from rawless.connect import LOCAL_CONFIG
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.job import prepare_job
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import register


def test_a_job_that_runs_elsewhere_is_prepared_without_loading_its_encoder(
    warehouse: Warehouse, tiny_sealed: EncoderSpec, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "load", lambda *_: pytest.fail("The encoder was loaded."))
    stream = Stream(stream="message", modality="text", encoders=(str(tiny_file),), subject="none")

    unsealed = tmp_path / "unsealed.yaml"
    unsealed.write_text(tiny_sealed.model_copy(update={"probe": None}).model_dump_json())
    with pytest.raises(UserError, match=r"tiny@1\.0\.0 is not sealed: run"):
        prepare_job(stream.model_copy(update={"encoders": (str(unsealed),)}), warehouse, None, registers=False)
    with pytest.raises(UserError, match=r"^tiny@1\.0\.0 is not registered: run `rawless encoder register"):
        prepare_job(stream, warehouse, None, registers=False)
    register(warehouse, tiny_sealed)
    assert prepare_job(stream, warehouse, None, registers=False).encoders == (tiny_sealed,)


@pytest.mark.full
def test_a_launcher_needs_little_memory_and_no_library_of_encoders(
    stack: Stack, tiny_sealed: EncoderSpec, tiny_file: Path, tmp_path: Path
) -> None:
    home_warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    home_warehouse.ensure()
    register(home_warehouse, tiny_sealed)
    stream = tmp_path / "stream.yaml"
    stream.write_text(f"stream: launched\nmodality: text\nencoders: ['{tiny_file}']\nsubject: none\n")

    launched = launch(stream, tmp_path)

    assert launched.modules == []
    assert launched.steps > 10
    assert launched.megabytes < 500
