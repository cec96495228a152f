"""What each command does and prints, on the local stack."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from encoders.huggingface_processor import stated_fields
from rawless.events.sources import SCHEMES
from rawless.local.stack import Stack
from tests import tiny_image_encoder, tiny_text_encoder

Rawless = Callable[..., Any]


def test_ingest_prints_what_it_did_as_json(
    rawless: Rawless, stream_file: Path, write_events: Callable[..., Path]
) -> None:
    events = write_events({"attributes": {"unknown": "x"}}, {"text": " "}, b"garbage")

    done = rawless("ingest", "--stream", stream_file, "--source", f"jsonl:{events}", "--json")

    assert done.code == 0
    assert set(done.json) == {
        "stream", "encoders", "read", "embeddings", "rejections", "dropped_attributes", "seconds", "idle_seconds",
        "events_per_second", "work", "stopped", "total_seconds",
    }  # fmt: skip
    assert done.json["read"] == 3
    assert done.json["embeddings"] == 1
    assert done.json["rejections"] == {"empty_text": 1, "malformed_event": 1}
    assert done.json["dropped_attributes"] == 1
    assert done.json["seconds"] > 0
    work = done.json["work"]["minilm@1.0.0"]
    assert (work["batches"], work["batch_items"], work["batch_padding"]) == (1, 1, 0)
    assert 0 < work["batch_fill"] < 0.1
    assert 0 <= work["prepare_seconds"] < work["encode_seconds"] < done.json["seconds"]


def test_ingest_prints_a_summary(rawless: Rawless, stream_file: Path, write_events: Callable[..., Path]) -> None:
    done = rawless("ingest", "--stream", stream_file, "--source", f"jsonl:{write_events({}, {'text': ' '})}")

    assert done.code == 0
    assert "message: 2 events read, 1 embeddings by minilm@1.0.0." in done.out
    assert "1 rejected: empty_text 1." in done.out
    assert "no leakage gate" in done.err


@pytest.fixture
def tiny_stream(tiny_file: Path, tmp_path: Path) -> Path:
    """A stream file that names the tiny encoder."""
    path = tmp_path / "tiny-stream.yaml"
    path.write_text(
        f"stream: message\nmodality: text\nencoders: ['{tiny_file}']\nevent_id: {{pattern: '[a-z0-9-]{{1,64}}'}}\n"
    )
    return path


def test_ingest_fails_if_all_events_are_rejected(
    rawless: Rawless, tiny_stream: Path, write_events: Callable[..., Path]
) -> None:
    events = write_events({"text": " "}, b"garbage")

    done = rawless("ingest", "--stream", tiny_stream, "--source", f"jsonl:{events}", "--json")

    assert done.code == 1
    assert done.json["rejections"] == {"empty_text": 1, "malformed_event": 1}
    assert done.err.splitlines()[-1] == (
        "Error: Nothing was embedded: all events that were read (2) were rejected (empty_text, malformed_event); check "
        "that the source contains events of this stream."
    )


def test_a_source_without_events_is_no_failure(
    rawless: Rawless, tiny_stream: Path, write_events: Callable[..., Path]
) -> None:
    done = rawless("ingest", "--stream", tiny_stream, "--source", f"jsonl:{write_events()}")

    assert done.code == 0
    assert "message: 0 events read, 0 embeddings" in done.out


def test_sql_answers_in_json_and_as_a_table(rawless: Rawless) -> None:
    query = "SELECT 1 AS one, TIMESTAMP '2026-01-01' AS day, [0.5, 1.5, 2.5, 3.5, 4.5] AS vector, NULL AS nothing"

    assert rawless("sql", query, "--json").json == [
        {"one": 1, "day": "2026-01-01T00:00:00+00:00", "vector": [0.5, 1.5, 2.5, 3.5, 4.5], "nothing": None}
    ]
    assert "5 values]" in rawless("sql", query).out
    answers = "[" + ", ".join(f"STRUCT('c{number}' AS class)" for number in range(5)) + "]"
    assert "[{'class': 'c0'}, … 5 values]" in rawless("sql", f"SELECT {answers} AS probabilities").out


def test_load_puts_a_file_into_a_table_with_pseudonyms_that_join(
    rawless: Rawless, tmp_path: Path, stream_file: Path, write_events: Callable[..., Path]
) -> None:
    events = write_events({"event_id": "joined", "subject_id": "customer-77"})
    rawless("ingest", "--stream", stream_file, "--source", f"jsonl:{events}")
    closed = tmp_path / "closed.csv"
    closed.write_text("customer_id,closed_at\ncustomer-77,2026-05-01T00:00:00Z\ncustomer-78,2026-05-02T00:00:00Z\n")

    done = rawless("load", "account_left", closed, "--pseudonymise", "customer_id", "--replace", "--json")

    assert done.json == {
        "table": "account_left",
        "rows": 2,
        "columns": {"closed_at": "TIMESTAMP", "subject_key": "STRING", "subject_key_id": "STRING"},
    }
    joined = rawless(
        "sql",
        "SELECT event_id, closed_at FROM events.embedding_event(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01') "
        "JOIN account_left USING (subject_key, subject_key_id)",
        "--json",
    )
    assert joined.json == [{"event_id": "joined", "closed_at": "2026-05-01T00:00:00+00:00"}]


def test_local_status_names_where_it_runs(rawless: Rawless, home: Path, stack: Stack) -> None:
    status = rawless("local", "status", "--json").json

    assert status["running"] is True
    assert status["home"] == str(home)
    assert status["bigquery_rest"].startswith("http://127.0.0.1:")
    shown = rawless("local", "status").out
    assert "rawless.open().bigquery" in shown
    assert stack.token not in shown + json.dumps(status)


def test_stream_check_accepts_the_example(rawless: Rawless) -> None:
    done = rawless("stream", "check", "examples/support_message/stream.yaml")

    assert done.code == 0
    assert "support_message, text, encoded by minilm@1.0.0" in done.out
    assert "at most 58 bits of other information into an event's attributes and 14 into its id" in done.out


def test_stream_check_states_the_memory_of_unchanged_contents(rawless: Rawless, tmp_path: Path) -> None:
    stream = tmp_path / "stream.yaml"
    stream.write_text(
        "{stream: note, modality: text, encoders: [minilm@1.0.0], event_id: ulid, unchanged: {remember: 100000}}"
    )
    done = rawless("stream", "check", str(stream))

    assert done.code == 0
    assert "remembers the vectors of up to 100,000 contents for each encoder, in at most 198.6 MB." in done.out
    assert rawless("stream", "check", str(stream), "--json").json["memory_bytes"] == 198_600_000
    stream.write_text("{stream: note, modality: text, encoders: [minilm@1.0.0], unchanged: {remember: 0}}")
    assert "unchanged.remember" in rawless("stream", "check", str(stream)).err


def test_stream_check_names_the_library_that_a_format_needs(
    rawless: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = tmp_path / "stream.yaml"
    stream.write_text("{stream: photo, modality: image, encoders: [resnet18-seeded@1.0.0], limits: {formats: [heic]}}")
    monkeypatch.setattr("encoders.image_formats.heic.LIBRARY", "a_library_that_is_missing")
    done = rawless("stream", "check", str(stream))
    assert done.code == 2
    assert "limits.formats: heic needs pillow-heif, which is missing: run `pip install 'rawless[heic]'`." in done.err


def test_encoders_are_baked_where_the_image_looks_for_them(
    rawless: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = rawless("encoder", "bake", "minilm@1.0.0")
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path))

    done = rawless("encoder", "bake", "minilm@1.0.0", "resnet18-seeded@1.0.0", "--json")

    assert without.code == 2
    assert "RAWLESS_WEIGHTS is not set" in without.err
    assert [row["folders"] for row in done.json] == [[f"{tmp_path}/sentence-transformers/all-MiniLM-L6-v2"], []]


def test_an_encoder_is_sealed_in_a_file_and_baked_with_it(
    rawless: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user does for the image, with weights that no hub has."""
    weights, specs, image = (tmp_path / name for name in ("weights", "specs", "image"))
    tiny_text_encoder.write_model(weights / "our" / "texts")
    unsealed = tiny_text_encoder.make_spec(weights, name="our-texts", version="1.0.0", source="hf:our/texts")
    (tmp_path / "unsealed.yaml").write_text(yaml.safe_dump(unsealed.model_dump(mode="json")))
    specs.mkdir()
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(weights))

    sealed = rawless("encoder", "seal", tmp_path / "unsealed.yaml", "--out", specs / "our-texts@1.0.0.yaml", "--json")
    again = rawless("encoder", "seal", tmp_path / "unsealed.yaml", "--out", specs / "our-texts@1.0.0.yaml")
    monkeypatch.setenv("RAWLESS_SPECS", str(specs))
    baked = rawless("encoder", "bake", "our-texts@1.0.0", "--into", image, "--json")
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(image / "weights"))
    monkeypatch.setenv("RAWLESS_SPECS", str(image / "specs"))
    shown = rawless("encoder", "show", "our-texts@1.0.0", "--json")

    assert again.code == 2
    assert "exists already" in again.err
    assert [row["folders"] for row in baked.json] == [[str(image / "weights" / "our" / "texts")]]
    assert shown.json["fingerprint"] == sealed.json["fingerprint"] == baked.json[0]["fingerprint"]


def test_doctor_finds_everything_here(rawless: Rawless) -> None:
    done = rawless("doctor", "--json")

    assert {finding["check"]: finding["ok"] for finding in done.json} == dict.fromkeys(
        ["python", "disk", "local stack", "pseudonym key", "device", "text encoder", "image encoder"], True
    )
    assert done.code == 0


def test_doctor_names_what_to_fix(rawless: Rawless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWLESS_PSEUDONYM_KEY", "too short")

    done = rawless("doctor")

    assert done.code == 1
    assert "FAIL pseudonym key: RAWLESS_PSEUDONYM_KEY must contain at least 32 random bytes in base64." in done.out
    assert "too short" not in done.out


def test_encoders_are_listed_shown_registered_and_compared(rawless: Rawless, tmp_path: Path) -> None:
    shown = rawless("encoder", "show", "minilm@1.0.0", "--json").json
    registered = rawless("encoder", "register", "minilm@1.0.0", "--json").json
    listed = rawless("encoder", "list", "--json").json

    assert shown["sealed"] is True
    assert shown["fingerprint"] == registered["fingerprint"]
    minilm = next(each for each in listed if each["encoder"] == "minilm@1.0.0")
    assert (minilm["registered"], minilm["fingerprint"]) == (True, shown["fingerprint"])

    other = {name: value for name, value in shown.items() if name not in ("fingerprint", "sealed", "probe")}
    (tmp_path / "other.yaml").write_text(json.dumps(other | {"pooling": "cls", "version": "1.1.0"}))
    diff = rawless("encoder", "diff", "minilm@1.0.0", tmp_path / "other.yaml", "--json").json
    assert diff["bump"] == "minor"
    assert diff["changes"] == [{"field": "pooling", "before": "mean", "after": "cls", "change": "minor"}]

    new = rawless("encoder", "register", tmp_path / "other.yaml", "--json").json
    assert new["new"] is True
    assert new["fingerprint"] != shown["fingerprint"]
    assert rawless("encoder", "show", "minilm@1.1.0", "--json").json["pooling"] == "cls"


def test_an_image_encoder_of_hugging_face_is_registered_and_shown(rawless: Rawless, tmp_path: Path) -> None:
    folder = tiny_image_encoder.write_model(tmp_path / "model", "dinov2")
    preprocessing = stated_fields("tiny-dinov2@1.0.0", folder)
    spec = tiny_image_encoder.make_spec(folder, "dinov2", preprocessing, name="tiny-dinov2", pooling="cls")
    (tmp_path / "tiny.yaml").write_text(spec.model_dump_json())

    registered = rawless("encoder", "register", tmp_path / "tiny.yaml", "--json").json
    shown = rawless("encoder", "show", "tiny-dinov2@1.0.0", "--json").json

    assert registered["new"] is True
    assert shown["sealed"] is True
    assert shown["fingerprint"] == registered["fingerprint"]
    assert (shown["pooling"], shown["preprocessing"]["fit"]) == ("cls", "shorter")


def test_a_changed_spec_under_a_registered_version_is_refused(rawless: Rawless, tmp_path: Path) -> None:
    shown = rawless("encoder", "show", "minilm@1.0.0", "--json").json
    rawless("encoder", "register", "minilm@1.0.0")
    changed = {name: value for name, value in shown.items() if name not in ("fingerprint", "sealed", "probe")}
    (tmp_path / "changed.yaml").write_text(json.dumps(changed | {"layer": -2}))

    done = rawless("encoder", "register", tmp_path / "changed.yaml")

    assert done.code == 2
    assert "layer differ" in done.err
    assert "minor change: give the spec version 1.1.0" in done.err


def test_an_unsealed_encoder_is_refused_by_ingest(
    rawless: Rawless, tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    shown = rawless("encoder", "show", "minilm@1.0.0", "--json").json
    unsealed = {name: value for name, value in shown.items() if name not in ("fingerprint", "sealed", "probe")}
    (tmp_path / "unsealed.yaml").write_text(json.dumps(unsealed | {"version": "7.0.0"}))
    stream = tmp_path / "stream.yaml"
    stream.write_text(
        f"stream: message\nmodality: text\nencoders: [{tmp_path / 'unsealed.yaml'}]\n"
        "event_id: {pattern: '[a-z0-9-]+'}\n"
    )

    done = rawless("ingest", "--stream", stream, "--source", f"jsonl:{write_events({})}")

    assert done.code == 2
    assert "minilm@7.0.0 is not sealed: run `rawless encoder register" in done.err


MISTAKES = {
    "unknown command": (["igest"], "No such command 'igest'"),
    "unknown option": (["sql", "SELECT 1", "--jsn"], "No such option: --jsn"),
    "no stream": (["ingest", "--source", "jsonl:x"], "Missing option '--stream'"),
    "no such stream": (
        ["ingest", "--stream", "no.yaml", "--source", "jsonl:x"],
        "The stream file no.yaml does not exist",
    ),
    "unknown source": (
        ["ingest", "--stream", "{stream}", "--source", "csv:x"],
        "--source is 'csv:x', but must be one of",
    ),
    "no such source": (["ingest", "--stream", "{stream}", "--source", "jsonl:no.jsonl"], "there is no such file"),
    "a folder as source": (["ingest", "--stream", "{stream}", "--source", "jsonl:."], "there is no such file"),
    "unknown Beam option": (
        ["ingest", "--stream", "{stream}", "--source", "jsonl:{source}", "--", "--nope"],
        "The Beam option --nope is unknown",
    ),
    "forbidden Beam option": (
        ["ingest", "--stream", "{stream}", "--source", "jsonl:{source}", "--", "--save_main_session"],
        "The Beam option --save_main_session is forbidden",
    ),
    "unknown device": (
        ["ingest", "--stream", "{stream}", "--source", "jsonl:{source}", "--device", "tpu"],
        "Invalid value for '--device'",
    ),
    "no such encoder": (
        ["encoder", "show", "gpt@1.0.0"],
        "The encoder 'gpt@1.0.0' is unknown: use one of minilm@1.0.0",
    ),
    "encoder without version": (["encoder", "show", "minilm"], "needs its version, as in minilm@1.0.0"),
    "broken SQL": (["sql", "SELEKT 1"], "BigQuery refused the query: Syntax error"),
    "no such table": (["sql", "SELECT * FROM nowhere"], "BigQuery refused the query: Not found"),
    "a table of Rawless": (["load", "embedding_event_v1", "{source}"], "is a table of Rawless"),
    "a file of another kind": (["load", "facts", "facts.xlsx"], "must end in one of .csv, .jsonl, .parquet"),
    "no warehouse file": (["sql", "SELECT 1", "--warehouse", "no.yaml"], "The warehouse file no.yaml does not exist"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_by_one_sentence_and_exit_code_2(
    name: str, rawless: Rawless, stream_file: Path, write_events: Callable[..., Path]
) -> None:
    arguments, sentence = MISTAKES[name]
    source = write_events({})

    done = rawless(*(each.format(stream=stream_file, source=source) for each in arguments))

    assert done.code == 2
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert done.out == ""


_RUN_ALL = """
import json, sys
from rawless.cli.main import run
codes = [run(arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps([codes, sorted({"torch", "apache_beam", "transformers"} & set(sys.modules))]))
"""


def test_a_mistake_is_answered_without_importing_beam_or_torch(stream_file: Path) -> None:
    stream = ["--stream", str(stream_file)]
    mistakes = [
        ["igest"],
        ["sql", "SELECT 1", "--jsn"],
        ["sql", "SELECT 1", "--warehouse", "no.yaml"],
        ["stream", "check", "no.yaml"],
        ["ingest", "--stream", "no.yaml", "--source", "jsonl:x"],
        ["ingest", *stream, "--source", "jsonl:no.jsonl"],
        ["ingest", *stream, "--source", "files:no/*", "--metadata", "no.csv"],
        ["replay", *stream, "--reason", "empty_text", "--source", "jsonl:no.jsonl"],
        ["publish", *stream, "--source", "jsonl:no.jsonl"],
        ["load", "facts", "facts.xlsx", "--warehouse", "no.yaml"],
        ["dataset", "build", "no.yaml"],
        ["encoder", "show", "gpt@1.0.0"],
        ["encoder", "register", "gpt@1.0.0"],
        ["head", "train", "no.yaml"],
        ["head", "import", "no.onnx", "--encoder", "gpt@1.0.0", "--as", "imported"],
        ["serve", "no.yaml"],
        ["doctor", "--warehouse", "no.yaml"],
    ]

    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL, json.dumps(mistakes)], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout.splitlines()[-1]) == [[2] * len(mistakes), []]


def test_the_version_is_printed(rawless: Rawless) -> None:
    assert rawless("--version").out.startswith(f"rawless {metadata.version('rawless')}, Python 3.")


def test_a_shell_completes_commands() -> None:
    shell = {"_RAWLESS_COMPLETE": "complete_bash", "COMP_WORDS": "rawless enc", "COMP_CWORD": "1"}
    program = Path(sys.executable).parent / "rawless"
    done = subprocess.run([program], env=os.environ | shell, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["encoder"]


def test_every_value_of_bigquery_has_a_json_form(rawless: Rawless) -> None:
    query = "SELECT b'abc' AS bytes, NUMERIC '1.5' AS number, TIME '10:00:00' AS time, CAST('nan' AS FLOAT64) AS nan"

    (row,) = rawless("sql", query, "--json").json

    assert row["bytes"] == "YWJj"
    assert float(row["number"]) == 1.5
    assert row["time"].startswith("10:00:00")
    assert row["nan"] is None


def test_a_file_without_a_header_is_refused_without_its_values(rawless: Rawless, tmp_path: Path) -> None:
    (tmp_path / "closed.csv").write_text("anna@example.com,2026-01-01\nbob@example.com,2026-02-01\n")

    for arguments in ([], ["--pseudonymise", "customer_id"]):
        done = rawless("load", "closures", tmp_path / "closed.csv", *arguments)

        assert done.code == 2
        assert "has no valid name for column 1" in done.err
        assert "anna" not in done.out + done.err


def test_one_encoder_under_two_names_is_refused(
    rawless: Rawless, tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    twin = Path("encoders/specs/minilm@1.0.0.yaml").absolute()
    (tmp_path / "twice.yaml").write_text(
        f"stream: message\nmodality: text\nencoders: [minilm@1.0.0, {twin}]\nevent_id: {{pattern: '[a-z0-9-]+'}}\n"
    )

    done = rawless("ingest", "--stream", tmp_path / "twice.yaml", "--source", f"jsonl:{write_events({})}")

    assert done.code == 2
    assert "names the same encoder under different names" in done.err


def test_objects_are_not_read_from_an_emulator_on_another_machine(
    rawless: Rawless, tmp_path: Path, write_events: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://storage.example:9023")
    stream = tmp_path / "objects.yaml"
    stream.write_text('stream: message\nmodality: text\nencoders: [minilm@1.0.0]\nuri_prefixes: ["gs://bucket/"]\n')

    done = rawless("ingest", "--stream", stream, "--source", f"jsonl:{write_events({})}")

    assert done.code == 2
    assert "STORAGE_EMULATOR_HOST is http://storage.example:9023, but must name an emulator on this machine" in done.err


def test_a_home_that_cannot_be_written_to_is_reported(rawless: Rawless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWLESS_HOME", "/proc")

    done = rawless("local", "status")

    assert done.code == 2
    assert "The home folder /proc cannot be written to" in done.err


def test_no_command_shows_the_help(rawless: Rawless) -> None:
    done = rawless()

    assert done.code == 2
    assert "ingest" in done.out


def test_the_help_of_ingest_shows_how_each_source_is_named(rawless: Rawless) -> None:
    help_text = "".join(rawless("ingest", "--help").out.replace("│", "").split())

    assert [scheme.usage for scheme in SCHEMES.values() if scheme.usage not in help_text] == []


def test_the_help_names_every_command_and_imports_no_heavy_library() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "rawless", "--help"], capture_output=True, text=True
    )

    assert done.returncode == 0
    for command in ("demo", "doctor", "encoder", "ingest", "load", "local", "sql", "stream"):
        assert f" {command} " in done.stdout
    heavy = {"torch", "apache_beam", "pandas", "numpy", "pydantic", "yaml", "google.api_core", "transformers"}
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert heavy & imported == set()
