"""No marker that somebody pastes into a command of the privacy office is printed or stored."""

import os
import tempfile
from pathlib import Path

import pytest
import yaml

from rawless.audit.search import Search
from rawless.cli.main import run
from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse

MARKER = "Ottilie-4711-Quibble-Samarkand"
STREAM = {
    "stream": "marked", "modality": "text", "encoders": ["minilm@1.0.0"], "event_id": {"pattern": "[A-Za-z0-9-]{1,64}"},
    "inspect": {"url": "https://tickets.example.com/{event_id}"},
    "leakage": {"max": {"words_f1": 0.5}, "max_age": "9d"},
}  # fmt: skip


def test_no_marker_escapes_from_the_commands_around_the_gate(
    stack: Stack, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "left"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    Warehouse(LOCAL_CONFIG, stack.bigquery).ensure()
    file = tmp_path / "stream.yaml"
    file.write_text(yaml.safe_dump(STREAM))
    stream, encoder = ("--stream", str(file)), ("--encoder", "minilm@1.0.0")
    waiver = {"--metric": "words_f1", "--reason": "test_data", "--ticket": "PRIV-1", "--until": "2100-01-01"}
    inspection = {"--reason": "rejection", "--ticket": "PRIV-1"}
    events = tmp_path / "events.jsonl"
    events.write_text(f'{{"event_id": "{MARKER}", "stream": "marked", "text": "{MARKER} is my name."}}\n')

    codes = [
        *(
            run(["audit", "waive", *stream, *encoder, *_options({**waiver, name: MARKER})])
            for name in ("--metric", "--reason", "--ticket")
        ),
        *(run(["inspect", "known-1", *stream, *_options({**inspection, name: MARKER})]) for name in inspection),
        run(["inspect", MARKER, *stream, *_options(inspection)]),
        run(["inspect", f"{MARKER} is my name", *stream, *_options(inspection)]),
        run(["audit", "readers", "--table", f"{MARKER} is my name"]),
        run(["ingest", *stream, "--source", f"jsonl:{events}"]),
        run(["sql", f"SELECT '{MARKER}' FROM embedding_event_v1 WHERE FALSE"]),
    ]

    assert codes == [2] * 9 + [0]
    search = Search([MARKER.encode()])
    output = "\n".join(capfd.readouterr())
    assert "The leakage gate of marked refuses" in output
    assert search.in_bytes(output.encode(), "output") == set()
    assert search.in_folder(temporary) | search.in_folder(Path(os.environ["RAWLESS_HOME"])) == set()


def _options(given: dict[str, str]) -> list[str]:
    return [part for pair in given.items() for part in pair]
