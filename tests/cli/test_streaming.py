"""`rawless publish`, `rawless ingest --source pubsub:…` and Ctrl-C."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rawless.connect import LOCAL_CONFIG
from rawless.events.pubsub import PubSub
from rawless.local.stack import Stack
from rawless.steps import stop_signal
from rawless.steps.interrupts import stop_on_interrupt
from rawless.warehouse.client import Warehouse
from tests.cli.conftest import Outcome
from tests.conftest import event
from tests.programs import Program
from tests.stored import count_events, count_rows
from tests.streams import ANY_ID

Rawless = Callable[..., Outcome]
LIMIT_SECONDS = 120


@pytest.fixture
def warehouse(stack: Stack) -> Warehouse:
    """The warehouse that commands use."""
    made = Warehouse(LOCAL_CONFIG, stack.bigquery)
    made.ensure()
    return made


@pytest.fixture
def stream_of(tmp_path: Path, tiny_file: Path) -> Callable[..., Path]:
    """Return a function that writes the file of a stream with the tiny encoder."""

    def make(name: str, **fields: Any) -> Path:
        file = tmp_path / f"{name}.yaml"
        file.write_text(
            yaml.safe_dump(
                {
                    "stream": name,
                    "modality": "text",
                    "encoders": [str(tiny_file)],
                    "event_id": ANY_ID,
                    **fields,
                }
            )
        )
        return file

    return make


def _lines(path: Path, events: list[dict[str, Any] | bytes]) -> Path:
    lines = [each if isinstance(each, bytes) else json.dumps(event(**each)).encode() for each in events]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def test_published_events_are_ingested(rawless: Rawless, stream_of: Callable[..., Path], tmp_path: Path) -> None:
    stream = stream_of("printed")
    events = _lines(tmp_path / "e.jsonl", [{"stream": "printed"}, {"stream": "printed", "text": " "}, b"garbage"])

    published = rawless("publish", "--stream", stream, "--source", f"jsonl:{events}")
    source = "pubsub:projects/local-dev/subscriptions/printed"
    ingested = rawless("ingest", "--stream", stream, "--source", source, "--until-idle", "0.3")

    assert published.code == ingested.code == 0
    assert "printed: 2 events published to projects/local-dev/topics/printed." in published.out
    assert "1 could not be published: malformed_event 1." in published.out
    assert f"--source {source}" in published.out
    assert "printed: 2 events read, 1 embeddings by tiny@1.0.0." in ingested.out
    assert "1 rejected: empty_text 1." in ingested.out
    assert "of them idle" in ingested.out


def test_a_missing_subscription_is_created_on_the_local_stack(
    rawless: Rawless, stream_of: Callable[..., Path], stack: Stack
) -> None:
    name = "projects/local-dev/subscriptions/mine"

    done = rawless("ingest", "--stream", stream_of("made"), "--source", f"pubsub:{name}", "--until-idle", "0", "--json")

    assert done.json["read"] == 0
    with PubSub(stack.pubsub, stack.token).subscriber() as client:
        assert client.get_subscription(subscription=name).topic == "projects/local-dev/topics/made"


def test_the_environment_can_name_another_pubsub(
    rawless: Rawless, stream_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.setattr("rawless.events.pubsub.START_SECONDS", 0.2)
    events = _lines(tmp_path / "e.jsonl", [{}])

    done = rawless("publish", "--stream", stream_of("elsewhere"), "--source", f"jsonl:{events}")

    assert done.code == 1
    assert "Pub/Sub did not answer" in done.err


def test_publishing_fails_if_no_message_can_carry_any_event(
    rawless: Rawless, stream_of: Callable[..., Path], tmp_path: Path
) -> None:
    events = _lines(tmp_path / "e.jsonl", [b"garbage", b"\xff"])

    done = rawless("publish", "--stream", stream_of("garbled"), "--source", f"jsonl:{events}", "--json")

    assert done.code == 1
    assert done.json["refused"] == {"invalid_utf8": 1, "malformed_event": 1}
    assert done.err.splitlines()[-1] == (
        "Error: Nothing was published: no message can carry any of the events (invalid_utf8, malformed_event); check "
        "that the source contains events of this stream."
    )


REFUSED = {
    "--until-idle is for sources of messages": ["--source", "jsonl:{file}", "--until-idle", "1"],
    "--source names 'subscriptions/x', but must name projects/": ["--source", "pubsub:subscriptions/x"],
    "--source is 'pubsub:', but must be one of: bigquery:PROJECT.DATASET.TABLE, files:GLOB, jsonl:PATH, kafka:": [
        "--source", "pubsub:",
    ],
    "--metadata is for files": ["--source", "pubsub:projects/local-dev/subscriptions/abc", "--metadata", "m.csv"],
    "must be one of DirectRunner, DataflowRunner to read": [
        "--source", "pubsub:projects/local-dev/subscriptions/abc", "--", "--runner=FnApiRunner",
    ],
    "Workers elsewhere cannot reach the local stack": [
        "--source", "pubsub:projects/local-dev/subscriptions/abc", "--", "--runner=DataflowRunner",
    ],
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_mistake_is_answered_in_one_sentence(
    sentence: str, rawless: Rawless, stream_of: Callable[..., Path], tmp_path: Path
) -> None:
    file = _lines(tmp_path / "e.jsonl", [{}])
    arguments = [each.format(file=file) for each in REFUSED[sentence]]

    done = rawless("ingest", "--stream", stream_of("refused"), *arguments)

    assert done.code == 2
    assert sentence in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("a_stream", ["--topic", "a"], "--topic names 'a', but must name projects/PROJECT/topics/NAME"),
        ("ab", [], "The stream names 'projects/local-dev/topics/ab', but must name"),
        ("goog_x", [], "must name projects/PROJECT/topics/NAME"),
        ("a_stream", ["--topic", ""], "--topic names '', but must name"),
    ],
)
def test_an_invalid_topic_is_refused(
    name: str, arguments: list[str], sentence: str, rawless: Rawless, stream_of: Callable[..., Path], tmp_path: Path
) -> None:
    file = _lines(tmp_path / "e.jsonl", [{}])

    done = rawless("publish", "--stream", stream_of(name), "--source", f"jsonl:{file}", *arguments)

    assert done.code == 2
    assert sentence in done.err


def test_publishing_to_a_topic_without_the_expected_subscription_is_refused(
    rawless: Rawless, stream_of: Callable[..., Path], tmp_path: Path
) -> None:
    """A subscription with the topic's name that is attached to another topic would receive none of the events."""
    file = _lines(tmp_path / "e.jsonl", [{}])
    taken = "projects/local-dev/subscriptions/taken"
    rawless("ingest", "--stream", stream_of("first"), "--source", f"pubsub:{taken}", "--until-idle", "0")

    done = rawless(
        "publish", "--stream", stream_of("second"), "--source", f"jsonl:{file}",
        "--topic", "projects/local-dev/topics/taken",
    )  # fmt: skip

    assert done.code == 2
    assert f"The subscription {taken} is attached to projects/local-dev/topics/first" in done.err


def test_ctrl_c_is_graceful_when_stderr_is_closed(capfd: pytest.CaptureFixture[str]) -> None:
    """For example in a pipe to `tee`, which the same Ctrl-C ends."""
    stderr = os.dup(2)
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 2)
    try:
        with stop_on_interrupt():
            signal.raise_signal(signal.SIGINT)
            assert stop_signal.is_stop_requested()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(writing)


# --- Ctrl-C and kill


@pytest.fixture
def started(warehouse: Warehouse) -> Iterator[Callable[..., Program]]:
    """Return a function that starts a command as a process, and waits until it has written rows of a stream."""
    processes: list[Program] = []

    def start(stream: str, *arguments: str | Path) -> Program:
        before = count_rows(warehouse, stream)
        process = Program(*arguments, "--json")
        processes.append(process)
        limit = time.monotonic() + LIMIT_SECONDS
        while count_rows(warehouse, stream) == before:
            assert not process.ends_within(0.1), process.communicate()
            assert time.monotonic() < limit
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def _long(stream: str, count: int) -> list[dict[str, Any] | bytes]:
    return [{"stream": stream, "event_id": f"e-{n:05d}", "text": f"Text {n}"} for n in range(count)]


@pytest.mark.full
@pytest.mark.parametrize(("kind", "count"), [("lines", 20_000), ("messages", 6_000)], ids=["lines", "messages"])
def test_ctrl_c_finishes_what_was_read_and_a_second_stops_at_once(
    kind: str,
    count: int,
    rawless: Rawless,
    stream_of: Callable[..., Path],
    tmp_path: Path,
    warehouse: Warehouse,
    stack: Stack,
    started: Callable[..., Program],
) -> None:
    name = f"stopped_{kind}"
    stream, events = stream_of(name), _lines(tmp_path / "e.jsonl", _long(name, count))
    source = f"jsonl:{events}" if kind == "lines" else f"pubsub:projects/local-dev/subscriptions/{name}"
    if kind == "messages":
        rawless("publish", "--stream", stream, "--source", f"jsonl:{events}")
    command = ["ingest", "--stream", stream, "--source", source]

    first = started(name, *command)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=LIMIT_SECONDS)
    summary = json.loads(out)

    assert first.returncode == (130 if kind == "lines" else 0)  # lines are left, which only another run will read
    assert "Finishing the events that were read. Press Ctrl-C again to stop immediately." in err
    assert summary["stopped"] is True
    assert 0 < summary["read"] < count
    assert summary["embeddings"] == summary["read"] == count_rows(warehouse, name)

    second = started(name, *command)
    os.kill(stack.pid, signal.SIGSTOP)  # without the warehouse it cannot finish before it is stopped
    try:
        second.send_signal(signal.SIGINT)
        while "Finishing" not in second.stderr.readline():
            pass
        second.send_signal(signal.SIGINT)
    finally:
        os.kill(stack.pid, signal.SIGCONT)
    out, err = second.communicate(timeout=LIMIT_SECONDS)

    assert second.returncode == 130
    assert out == ""
    assert err.strip() == "Stopped."


@pytest.mark.full
def test_a_streaming_job_that_is_killed_loses_no_message(
    rawless: Rawless,
    stream_of: Callable[..., Path],
    tmp_path: Path,
    warehouse: Warehouse,
    stack: Stack,
    started: Callable[..., Program],
) -> None:
    name, count = "killed_stream", 4_000
    stream, events = stream_of(name), _lines(tmp_path / "e.jsonl", _long(name, count))
    subscription = f"projects/local-dev/subscriptions/{name}"
    command = ["ingest", "--stream", stream, "--source", f"pubsub:{subscription}"]
    rawless("publish", "--stream", stream, "--source", f"jsonl:{events}")

    killed = started(name, *command)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    with PubSub(stack.pubsub, stack.token).subscriber() as client:
        # What it held comes again at once, and not in a minute.
        client.seek(request={"subscription": subscription, "time": "1970-01-02T00:00:00Z"})
    rest = rawless(*command, "--until-idle", "0.5", "--json").json

    assert 0 < rest["read"] <= count
    assert count_events(warehouse, name) == count
