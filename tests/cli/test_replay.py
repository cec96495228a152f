"""`rawless replay` reads rejected events again from their source, after the cause was fixed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from encoders.catalogue import lookup
from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from tests.cli.conftest import Outcome
from tests.conftest import event
from tests.streams import ANY_ID

Rawless = Callable[..., Outcome]


@pytest.fixture
def warehouse(stack: Stack) -> Warehouse:
    """The warehouse that commands use."""
    made = Warehouse(LOCAL_CONFIG, stack.bigquery)
    made.ensure()
    return made


def _stream(path: Path, name: str, **fields: Any) -> Path:
    file = path / f"{name}-{len(list(path.iterdir()))}.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "stream": name,
                "modality": "text",
                "encoders": ["minilm@1.0.0"],
                "event_id": ANY_ID,
                **fields,
            }
        )
    )
    return file


def _lines(path: Path, *events: dict[str, Any]) -> Path:
    file = path / "events.jsonl"
    file.write_text("".join(json.dumps(event(**each)) + "\n" for each in events))
    return file


def _rows(warehouse: Warehouse, stream: str) -> list[str]:
    query = f"SELECT event_id FROM embedding_event_v1 WHERE stream = '{stream}' ORDER BY event_id"
    return [row["event_id"] for row in warehouse.query(query)]


def test_after_a_limit_was_raised_only_rejected_events_are_encoded(
    rawless: Rawless, tmp_path: Path, warehouse: Warehouse
) -> None:
    source = _lines(
        tmp_path,
        {"stream": "raised", "event_id": "short", "text": "short"},
        {"stream": "raised", "event_id": "long-1", "text": "long " * 20},
        {"stream": "raised", "event_id": "long-2", "text": "long " * 21},
        {"stream": "raised", "event_id": "an id with spaces", "text": "long " * 22},
        {"stream": "raised", "event_id": "empty", "text": " "},
        {"stream": "another", "event_id": "long-1", "text": "of another stream"},
    )
    small = _stream(tmp_path, "raised", limits={"max_bytes": 50})
    options = ["--reason", "payload_too_large", "--source", f"jsonl:{source}", "--json"]
    rawless("ingest", "--stream", small, "--source", f"jsonl:{source}")

    still_rejected = rawless("replay", "--stream", small, *options)
    still = still_rejected.json
    fixed = rawless("replay", "--stream", _stream(tmp_path, "raised"), *options).json
    again = rawless("replay", "--stream", _stream(tmp_path, "raised"), *options).json

    assert (still["open_before"], still["read"], still["open"]) == (2, 2, 2)
    assert still_rejected.code == 1
    assert (
        "Error: Nothing was embedded: all events that were read (2) were rejected (payload_too_large);"
        in still_rejected.err
    )
    assert (fixed["open_before"], fixed["read"], fixed["embeddings"], fixed["open"]) == (2, 2, 2, 0)
    assert (again["open_before"], again["open"]) == (0, 0)
    assert "read" not in again  # idempotent: the source is not even read
    assert _rows(warehouse, "raised") == ["long-1", "long-2", "short"]


def test_an_object_that_was_missing_is_read_when_it_exists(
    rawless: Rawless, tmp_path: Path, warehouse: Warehouse
) -> None:
    objects = tmp_path / "objects"
    objects.mkdir()
    stream = _stream(tmp_path, "checked", uri_prefixes=[f"file://{objects}/"])
    source = _lines(
        tmp_path,
        {"stream": "checked", "event_id": "late", "text": ..., "uri": f"file://{objects}/late.txt"},
        {"stream": "checked", "event_id": "gone", "text": ..., "uri": f"file://{objects}/gone.txt"},
    )
    rawless("ingest", "--stream", stream, "--source", f"jsonl:{source}")
    (objects / "late.txt").write_text("Here I am.")
    other = tmp_path / "other.jsonl"
    other.touch()

    missed = rawless("replay", "--stream", stream, "--reason", "object_not_found", "--source", f"jsonl:{other}")
    done = rawless("replay", "--stream", stream, "--reason", "object_not_found", "--source", f"jsonl:{source}")

    assert missed.code == 1
    assert missed.err.splitlines()[-1] == (
        "Error: Nothing was embedded: the source contains none of the 2 events; name the source that they were read "
        "from."
    )
    assert done.code == 0
    assert "2 events rejected as object_not_found had no embedding before the replay, 1 have none now." in done.out
    assert "1 rejected: object_not_found 1." in done.out
    assert _rows(warehouse, "checked") == ["late"]


@pytest.mark.parametrize(
    ("former", "reason"), [("missing_payload", "empty_payload"), ("payload_missing", "object_not_found")]
)
def test_a_former_code_replays_rows_with_the_old_and_the_new_code(
    rawless: Rawless, tmp_path: Path, warehouse: Warehouse, former: str, reason: str
) -> None:
    stream = _stream(tmp_path, f"renamed_{reason}")
    source = _lines(
        tmp_path, {"stream": f"renamed_{reason}", "event_id": "1"}, {"stream": f"renamed_{reason}", "event_id": "2"}
    )
    for event_id, code in [("1", former), ("2", reason)]:
        warehouse.query(
            "INSERT INTO rejection_v1 (stream, event_id, message_id, stage, reason, size_bucket, rejected_at) VALUES"
            f" ('renamed_{reason}', '{event_id}', '{event_id}', 'parse', '{code}', '<100', CURRENT_TIMESTAMP())"
        )

    done = rawless("replay", "--stream", stream, "--reason", former, "--source", f"jsonl:{source}", "--json")

    assert (done.json["reason"], done.json["open_before"], done.json["open"]) == (reason, 2, 0)


def test_rejections_without_an_id_are_reported_and_not_replayed(rawless: Rawless, tmp_path: Path) -> None:
    stream = _stream(tmp_path, "nameless")
    source = _lines(tmp_path, {"stream": "nameless", "event_id": "no id at all"})
    rawless("ingest", "--stream", stream, "--source", f"jsonl:{source}")

    done = rawless("replay", "--stream", stream, "--reason", "bad_event_id", "--source", f"jsonl:{source}")

    assert done.code == 0
    assert "1 rejected deliveries cannot be found again: they had no valid event id." in done.out
    assert "nothing to replay" in done.out


@pytest.mark.parametrize(("origin", "ref"), [("ingest", None), ("serving", "minilm@1.0.0")])
def test_an_encoder_that_lacks_an_embedding_keeps_the_event_open(
    rawless: Rawless, tmp_path: Path, warehouse: Warehouse, origin: str, ref: str | None
) -> None:
    """An embedding by another encoder does not count, nor does one that a caller of a service has logged."""
    name = f"migrating_{origin}"
    fingerprint = lookup(ref).fingerprint if ref else "another"
    stream = _stream(tmp_path, name, limits={"max_bytes": 5})
    source = _lines(tmp_path, {"stream": name, "event_id": "one", "text": "A text."})
    rawless("ingest", "--stream", stream, "--source", f"jsonl:{source}")
    warehouse.query(
        "INSERT INTO embedding_event_v1 (stream, event_id, occurred_at, logged_at, origin, modality, encoder,"
        f" encoder_version, encoder_fingerprint, embedding, truncated) VALUES ('{name}', 'one', CURRENT_TIMESTAMP(),"
        f" CURRENT_TIMESTAMP(), '{origin}', 'text', 'other', '1.0.0', '{fingerprint}', [1.0], FALSE)"
    )

    options = ["--reason", "payload_too_large", "--source", f"jsonl:{source}", "--json"]
    done = rawless("replay", "--stream", _stream(tmp_path, name), *options)

    assert (done.json["open_before"], done.json["embeddings"], done.json["open"]) == (1, 1, 0)


def test_for_messages_the_seek_command_and_time_are_suggested(rawless: Rawless, tmp_path: Path) -> None:
    stream = _stream(tmp_path, "sought")
    source = _lines(tmp_path, {"stream": "sought", "text": " "})
    rawless("ingest", "--stream", stream, "--source", f"jsonl:{source}")
    name = "projects/local-dev/subscriptions/sought"

    done = rawless("replay", "--stream", stream, "--reason", "empty_text", "--source", f"pubsub:{name}")

    assert done.code == 2
    assert f"only a seek brings them back, if the subscription retains acknowledged messages. Run `gcloud pubsub subscriptions seek {name} --time=TIME`" in done.err  # fmt: skip  # noqa: E501
    assert "(the first was rejected at 20" in done.err


def test_an_unknown_reason_is_refused(rawless: Rawless, tmp_path: Path) -> None:
    done = rawless("replay", "--stream", _stream(tmp_path, "x"), "--reason", "bad_luck", "--source", "jsonl:x")

    assert done.code == 2
    assert "'bad_luck' is not one of 'missing_event_id'" in done.err
