"""`rawless audit canary`: a clean pipeline passes, a leaky one is caught in each sink, no marker is ever printed."""

import base64
import json
import logging
import os
import random
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import encoders.isolation
import encoders.pixels
import rawless.audit.canary.run
import rawless.steps.encode
from rawless.audit.canary import delivery
from rawless.audit.canary.events import Canaries
from rawless.audit.canary.findings import Findings
from rawless.audit.canary.machine import Processes
from rawless.audit.canary.markers import Markers
from rawless.audit.search import Search
from rawless.cli.main import run
from rawless.connect import LOCAL_CONFIG
from rawless.errors import RawlessError, UserError
from rawless.events.parse import Parser
from rawless.events.pubsub import PubSub
from rawless.events.stream import Stream, load_stream
from rawless.local import stack as local_stack
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from tests.shop import make_row
from tests.tiny_towers import Towers

UUIDS = "event_id: uuid\n"


@pytest.fixture
def warehouse(own_home: Path) -> Warehouse:
    return Warehouse(LOCAL_CONFIG, local_stack.up(own_home).bigquery)


@pytest.fixture
def planted(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Search]:
    """Return a function that returns a search for the markers of the last audit, which runs on a stack of its own."""
    made: list[Markers] = []

    class Kept(Markers):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    (tmp_path / "left").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "left"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "left"))
    monkeypatch.setenv("RAWLESS_HOME", str(own_home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(rawless.audit.canary.run, "Markers", Kept)
    return lambda: Search(made[-1].contents, made[-1].pictures)


@pytest.fixture
def texts(tmp_path: Path, tiny_file: Path) -> Path:
    path = tmp_path / "texts.yaml"
    path.write_text(
        f"stream: canary_text\nmodality: text\nencoders: ['{tiny_file}']\n{UUIDS}"
        "attributes: {channel: {enum: [chat]}}\nlimits: {max_bytes: 4000}\n"
    )
    return path


def test_a_clean_pipeline_passes_and_no_marker_is_left_or_printed(
    planted: Callable[[], Search], texts: Path, warehouse: Warehouse, capfd: pytest.CaptureFixture[str],
    own_home: Path, tmp_path: Path,
) -> None:  # fmt: skip
    code = run(["audit", "canary", "--stream", str(texts), "--json"])

    printed = capfd.readouterr()
    report = json.loads(printed.out)
    assert code == report["traces"] == 0
    assert (report["embedded"], report["published"]) == (4, 15)
    by_sink = {sink["sink"]: sink for sink in report["sinks"]}
    assert min(by_sink[name]["bytes"] for name in ("embedding_event_v1", "rejection_v1")) > 500
    assert by_sink["local_database"]["bytes"] > by_sink["embedding_event_v1"]["bytes"]
    assert {name for name, sink in by_sink.items() if sink["status"] == "unreachable"} == {
        "named_files", "service_metrics", "service_pages",
    }  # fmt: skip
    for name in ("table_metadata", "query_history", "log_records", "job_metrics", "processes"):
        assert by_sink[name]["bytes"] > 0, name
    rows = warehouse.list_rows("canary_v1")
    assert {row["sink"]: row["bytes"] for row in rows} == {name: sink["bytes"] for name, sink in by_sink.items()}
    search = planted()
    left = search.in_bytes((printed.out + printed.err).encode(), "output")
    assert left | search.in_folder(own_home) | search.in_folder(tmp_path / "left") == search.unread == set()


def test_a_leaky_step_is_caught_in_every_sink_and_its_leaks_are_not_printed(
    planted: Callable[[], Search], towers: Towers, tmp_path: Path, warehouse: Warehouse,
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The step logs and prints what it reads, puts base64 into a table, and a grey thumbnail into a file that it
    names after the customer."""
    stream = tmp_path / "pictures.yaml"
    stream.write_text(f"stream: canary_picture\nmodality: image\nencoders: ['{tmp_path}/tower.yaml']\n{UUIDS}")
    (tmp_path / "tower.yaml").write_text(towers.image.model_dump_json())
    warehouse.query("CREATE OR REPLACE TABLE leaked_notes (note STRING)")
    payloads: list[bytes] = []
    subjects: list[str] = []
    pictures: list[Image.Image] = []
    parse, decode, measure = Parser._payload, encoders.pixels.decode_pixels, rawless.steps.encode._measure_lag

    def keeps(self: Parser, fields: Any) -> bytes:
        payloads.append(parse(self, fields))
        subjects.append(fields["subject_id"])
        return payloads[-1]

    def shrinks(*arguments: Any) -> Image.Image:
        pictures.append(decode(*arguments))
        return pictures[-1]

    def leaks(*arguments: Any) -> Any:
        if pictures and not list((tmp_path / "left").glob("*.jpg")):
            logging.getLogger("some.library").info("read %s", payloads[0])
            os.write(1, payloads[0])
            thumbnail = BytesIO()
            pictures[-1].convert("L").resize((40, 30)).save(thumbnail, "JPEG", quality=40)
            (tmp_path / "left" / f"{subjects[-1]}.jpg").write_bytes(thumbnail.getvalue())
            note = base64.b64encode(payloads[0]).decode()
            warehouse.client.query(f"INSERT INTO leaked_notes (note) VALUES ('{note}')", _default(warehouse)).result()
        return measure(*arguments)

    monkeypatch.setattr(Parser, "_payload", keeps)
    monkeypatch.setattr(encoders.isolation, "read_pixels", encoders.pixels.read_pixels)
    monkeypatch.setattr(encoders.pixels, "decode_pixels", shrinks)
    monkeypatch.setattr(rawless.steps.encode, "_measure_lag", leaks)

    code = run(["audit", "canary", "--stream", str(stream)])

    printed = capfd.readouterr()
    assert code == 1
    assert "traces of content were found" in printed.err
    (rows,) = [
        warehouse.query("SELECT DISTINCT sink FROM `audit.canary_v1` WHERE traces > 0 AND stream = 'canary_picture'")
    ]
    assert {"output", "log_records", "business_tables", "local_database", "query_history", "temporary_files"} == {
        row["sink"] for row in rows
    }
    assert "a similar picture" in printed.out
    assert "in (a name that contains a marker)" in printed.out
    assert planted().in_bytes((printed.out + printed.err).encode(), "output") == set()
    warehouse.query("DROP TABLE leaked_notes")


def _default(warehouse: Warehouse) -> Any:
    from google.cloud.bigquery import QueryJobConfig

    return QueryJobConfig(default_dataset=warehouse.dataset_id("events"))


def test_a_deployed_pipeline_is_audited_by_its_topic(
    planted: Callable[[], Search], own_home: Path, texts: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its job runs while the audit waits."""
    topic, subscription = (f"projects/local-dev/{kind}/canary_text" for kind in ("topics", "subscriptions"))
    source = ["--source", f"pubsub:{subscription}", "--until-idle", "0.3"]
    running = local_stack.up(own_home)
    PubSub(running.pubsub, running.token).ensure_subscription(subscription, topic)
    monkeypatch.setattr(delivery.time, "sleep", lambda _: run(["ingest", "--stream", str(texts), *source]))
    capfd.readouterr()

    code = run(["audit", "canary", "--stream", str(texts), "--topic", topic])

    assert code == 0
    assert "15 canaries, 4 of them arrived as vectors and 9 as rejections with an id." in capfd.readouterr().out


def test_canaries_that_do_not_arrive_are_an_error(warehouse: Warehouse, texts: Path) -> None:
    stream = load_stream(texts)
    events = Canaries(stream, Markers()).events()

    with pytest.raises(RawlessError, match=r"13 of 13 canaries did not arrive within 0 seconds"):
        delivery.wait(warehouse, stream, events, datetime.now(UTC), 0.0, delivery.Delivery())


@pytest.mark.parametrize(("used", "is_enough"), [(80, True), (95, False)])
def test_a_canary_never_gets_the_id_of_another_event(
    used: int, is_enough: bool, warehouse: Warehouse, texts: Path
) -> None:
    texts.write_text(texts.read_text().replace("event_id: uuid", "event_id: {pattern: 'msg-\\d{2}'}"))
    stream = load_stream(texts)
    others = {f"msg-{number:02d}" for number in range(used)}
    append_all(warehouse, [make_row(1, {"stream": stream.stream, "event_id": event_id}) for event_id in others])
    canaries = Canaries(stream, Markers(), delivery.unused_ids(warehouse, stream, random.Random(0)))  # draws every id

    if is_enough:
        assert not others & {event.event_id for event in canaries.events()}
    else:
        with pytest.raises(UserError, match=r"5 of 100 that were drawn belong to no other event, .* longer ids"):
            canaries.events()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--topic", "topics/x"], "--topic names 'topics/x', but must name projects/"),
        (["--bucket", "temp"], "--bucket is 'temp', but must be gs://BUCKET"),
        (["--folder", "/nowhere"], "--folder names /nowhere, but there is no such folder"),
        (["--service", "localhost:80"], "--service is 'localhost:80', but must be a URL"),
        (["--warehouse", "w.yaml"], "--topic is missing: with --warehouse"),
    ],
)
def test_a_mistake_is_answered_before_anything_is_sent(
    words: list[str], sentence: str, texts: Path, capfd: pytest.CaptureFixture[str], planted: Callable[[], Search]
) -> None:
    assert run(["audit", "canary", "--stream", str(texts), *words]) == 2
    assert sentence in capfd.readouterr().err


def test_a_system_without_proc_is_not_called_clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rawless.audit.canary.machine._PROC", tmp_path)
    findings = Findings(Search([b"kelovanitumasobe"]))

    with Processes() as processes:
        pass
    processes.search(findings)

    assert (findings.of("processes").status, findings.of("processes").reason) == ("unreachable", "no_interface")


@pytest.mark.parametrize("pattern", ["uuid", "ulid", r"msg-\d{4}", "(a|b)[A-F0-9]{20}x?", "[a-z]{1,8}(-[a-z]+)*"])
def test_every_usual_pattern_of_ids_gets_ids(pattern: str) -> None:
    event_id = pattern if pattern in ("uuid", "ulid") else {"pattern": pattern}
    stream = Stream.model_validate({"stream": "s", "modality": "text", "encoders": ["e"], "event_id": event_id})
    ids = {event.event_id for event in Canaries(stream, Markers()).events() if event.event_id}

    assert len(ids) == 13
    assert all(map(stream.allows_id, ids))
