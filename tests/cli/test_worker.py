"""`rawless worker`: what it prints, how it ends, and what it imports."""

import configparser
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from rawless.connect import LOCAL_CONFIG
from rawless.events.pubsub import PubSub
from rawless.local.stack import Stack
from rawless.steps.crash_record import FOLDER_VARIABLE
from rawless.warehouse.client import Warehouse
from tests.cli.conftest import Outcome
from tests.command_lines import problem
from tests.conftest import event
from tests.kafka import Cluster, running_cluster
from tests.programs import Program
from tests.stored import count_events, count_rows
from tests.streams import ANY_ID

Rawless = Callable[..., Outcome]
PAGE = (Path(__file__).parents[2] / "docs" / "worker.md").read_text(encoding="utf-8")
LIMIT_SECONDS = 240


@pytest.fixture
def warehouse(stack: Stack) -> Warehouse:
    """The warehouse that commands use."""
    made = Warehouse(LOCAL_CONFIG, stack.bigquery)
    made.ensure()
    return made


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Kafka cluster."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def stream_of(tmp_path: Path, tiny_file: Path) -> Callable[..., Path]:
    """Return a function that writes the file of a stream with the tiny encoder."""

    def make(name: str, **fields: Any) -> Path:
        file = tmp_path / f"{name}.yaml"
        whole = {"stream": name, "modality": "text", "encoders": [str(tiny_file)], "event_id": ANY_ID, **fields}
        file.write_text(yaml.safe_dump(whole))
        return file

    return make


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Return a function that starts a command, which is killed at the end of the test."""
    programs: list[Program] = []

    def run(*arguments: str | Path) -> Program:
        programs.append(Program(*arguments))
        return programs[-1]

    yield run
    for program in programs:
        program.kill()
        program.communicate()


def wait_for(condition: Callable[[], bool], program: Program) -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert not program.ends_within(0.1), program.communicate()
        assert time.monotonic() < limit


@pytest.mark.full
def test_messages_of_both_sources_get_the_same_rows_and_summary(
    rawless: Rawless, stream_of: Callable[..., Path], stack: Stack, cluster: Cluster, warehouse: Warehouse
) -> None:
    events = [event(stream="worked", event_id=f"e-{number}") for number in range(5)] + [
        event(stream="worked", text=" ")
    ]
    stream, topic = stream_of("worked"), "projects/local-dev/topics/worked"
    pubsub = PubSub(stack.pubsub, stack.token)
    pubsub.ensure_subscription("projects/local-dev/subscriptions/worked", topic)
    with pubsub.publisher() as client:
        for fields in events:
            attributes = {name: value for name, value in fields.items() if name != "text"}
            client.publish(topic=topic, messages=[{"data": fields["text"].encode(), "attributes": attributes}])
    cluster.create("worked")
    cluster.send("worked", events)

    sources = ("pubsub:projects/local-dev/subscriptions/worked", cluster.source("worked"))
    done = [
        rawless("worker", "--stream", stream, "--source", each, "--until-idle", "0.3", "--json") for each in sources
    ]

    assert [each.code for each in done] == [0, 0]
    for summary in (each.json for each in done):
        assert (summary["read"], summary["embeddings"], summary["rejections"]) == (6, 5, {"empty_text": 1})
    rows = warehouse.query(
        "SELECT * EXCEPT (logged_at) FROM embedding_event_v1 WHERE stream = 'worked' ORDER BY event_id"
    )
    assert rows[0::2] == rows[1::2]


MISTAKES = {
    "--source is a jsonl: source, which has no messages: name one of kafka:BROKERS/TOPIC?group=G, pubsub:projects/P/": [
        "--source", "jsonl:missing",
    ],
    "--source is a bigquery: source, which has no messages": ["--source", "bigquery:uploads.photos"],
    "--source is 's3:a', but must be one of: kafka:BROKERS/TOPIC?group=G, pubsub:": ["--source", "s3:a"],
    "with a PORT of 1 to 65535": ["--source", "kafka:127.0.0.1:65536/t?group=g"],
    "--kafka-config names missing, but that cannot be read as text in UTF-8 (FileNotFoundError): check the path": [
        "--source", "kafka:127.0.0.1:9/t?group=g", "--kafka-config", "missing",
    ],
    "--kafka-config is for kafka: sources only": [
        "--source", "pubsub:projects/local-dev/subscriptions/abc", "--kafka-config", "{file}",
    ],
    "gives the property debug, which is refused": [
        "--source", "kafka:127.0.0.1:9/t?group=g", "--kafka-config", "{file}",
    ],
    "is 'kafka:127.0.0.1:9/t', but must be kafka:BROKERS/TOPIC?group=G": ["--source", "kafka:127.0.0.1:9/t"],
}  # fmt: skip


@pytest.mark.parametrize("sentence", MISTAKES)
def test_a_mistake_is_answered_in_one_sentence(
    sentence: str, rawless: Rawless, stream_of: Callable[..., Path], tmp_path: Path
) -> None:
    (file := tmp_path / "file").write_text("debug=all\n")

    done = rawless("worker", "--stream", stream_of("wrong"), *(each.format(file=file) for each in MISTAKES[sentence]))

    assert done.code == 2
    assert sentence in done.err


def test_a_worker_is_held_by_the_leakage_gate(rawless: Rawless, stream_of: Callable[..., Path]) -> None:
    stream = stream_of("gated", leakage={"max": {"words_f1": 0.5}, "max_age": "90d"})
    source = "pubsub:projects/local-dev/subscriptions/gated"

    done = rawless("worker", "--stream", stream, "--source", source, "--until-idle", "0")

    assert done.code == 2
    assert "audit" in done.err


def test_beam_does_not_read_kafka(rawless: Rawless, stream_of: Callable[..., Path]) -> None:
    done = rawless("ingest", "--stream", stream_of("beam_kafka"), "--source", "kafka:127.0.0.1:9/t?group=g")

    assert done.code == 2
    assert "--source is a kafka: source, which Beam does not read: read it by `rawless worker`." in done.err


@pytest.mark.full
def test_sigterm_finishes_what_was_read(
    stream_of: Callable[..., Path], cluster: Cluster, warehouse: Warehouse, start: Callable[..., Program]
) -> None:
    cluster.create("stopped_worker")
    cluster.send("stopped_worker", [event(stream="stopped_worker", event_id=f"e-{number}") for number in range(3_000)])
    command = ["worker", "--stream", stream_of("stopped_worker"), "--source", cluster.source("stopped_worker")]

    program = start(*command, "--json")
    wait_for(lambda: count_rows(warehouse, "stopped_worker") > 0, program)
    program.send_signal(signal.SIGTERM)
    out, _ = program.communicate(timeout=LIMIT_SECONDS)
    summary = json.loads(out)

    assert program.returncode == 0
    assert summary["stopped"] is True
    assert 0 < summary["read"] == summary["embeddings"] == count_rows(warehouse, "stopped_worker")
    assert sum(max(0, each) for each in cluster.committed("stopped_worker", "stopped_worker")) == summary["read"]


@pytest.mark.full
def test_of_two_workers_of_a_group_one_takes_over_when_the_other_is_killed(
    stream_of: Callable[..., Path],
    cluster: Cluster,
    warehouse: Warehouse,
    start: Callable[..., Program],
    tmp_path: Path,
) -> None:
    name, total = "shared_worker", 4_000
    (file := tmp_path / "kafka.properties").write_text("session.timeout.ms=6000\nheartbeat.interval.ms=500\n")
    cluster.create(name)
    command = ["worker", "--stream", stream_of(name), "--source", cluster.source(name), "--kafka-config", file]
    programs = [start(*command, "--json"), start(*command, "--json", "--threads", "2")]
    batches = iter(range(0, total, 200))

    def send() -> bool:
        """Send some events, and return whether all are sent."""
        first = next(batches, None)
        if first is not None:
            cluster.send(name, [event(stream=name, event_id=f"e-{number}") for number in range(first, first + 200)])
        return first is None

    for _ in range(5):
        send()
    wait_for(lambda: count_rows(warehouse, name) > 200, programs[1])
    programs[0].kill()
    while not send():
        pass
    wait_for(lambda: count_events(warehouse, name) == total, programs[1])
    programs[1].send_signal(signal.SIGTERM)
    out, err = programs[1].communicate(timeout=LIMIT_SECONDS)

    assert programs[1].returncode == 0, err
    assert json.loads(out)["read"] > 0
    assert sum(cluster.committed(name, name)) == total


@pytest.mark.full
def test_a_worker_that_is_killed_loses_no_message(
    rawless: Rawless, stream_of: Callable[..., Path], stack: Stack, warehouse: Warehouse, start: Callable[..., Program],
    tmp_path: Path,
) -> None:  # fmt: skip
    name, total = "killed_worker", 4_000
    stream, subscription = stream_of(name), f"projects/local-dev/subscriptions/{name}"
    lines = [json.dumps(event(stream=name, event_id=f"e-{number}")) for number in range(total)]
    (events := tmp_path / "e.jsonl").write_text("\n".join(lines))
    rawless("publish", "--stream", stream, "--source", f"jsonl:{events}")
    command = ["worker", "--stream", stream, "--source", f"pubsub:{subscription}"]

    for _ in range(2):
        before = count_rows(warehouse, name)
        program = start(*command)
        wait_for(lambda before=before: count_rows(warehouse, name) > before, program)
        program.kill()
        program.communicate()
        with PubSub(stack.pubsub, stack.token).subscriber() as client:
            # What it held comes again at once, and not in a minute.
            client.seek(request={"subscription": subscription, "time": datetime.now(UTC) - timedelta(hours=1)})
    rest = rawless(*command, "--until-idle", "0.5", "--json").json

    assert rest["read"] > 0
    assert count_events(warehouse, name) == total


@pytest.mark.full
def test_a_worker_does_not_import_beam(stream_of: Callable[..., Path], stack: Stack) -> None:
    source = "pubsub:projects/local-dev/subscriptions/beamless"
    arguments = ["worker", "--stream", str(stream_of("beamless")), "--source", source, "--until-idle", "0"]
    program = (
        f"import sys; from rawless.cli.main import run; code = run({arguments!r}); "
        "sys.exit(code or any(each.split('.')[0] in ('apache_beam', 'pipelines') for each in sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, timeout=LIMIT_SECONDS)

    assert done.returncode == 0, done.stderr.decode()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_manifest_of_the_page_starts_a_worker_and_gives_it_time() -> None:
    (manifest,) = (yaml.safe_load(block) for block in _blocks("yaml"))
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    arguments = container["args"]

    assert manifest["spec"]["selector"]["matchLabels"] == manifest["spec"]["template"]["metadata"]["labels"]
    assert problem(" ".join([*container["command"], *(each.split("=")[0] + " x" for each in arguments)])) is None
    (grace,) = (float(each.split("=")[1]) for each in arguments if each.startswith("--grace="))
    assert pod["terminationGracePeriodSeconds"] > grace
    (port,) = (int(each.split("=")[1]) for each in arguments if each.startswith("--metrics-port="))
    assert port == container["ports"][0]["containerPort"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": container["ports"][0]["name"]}
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts.keys() == {each["name"] for each in pod["volumes"]}
    (credentials,) = container["env"]
    assert credentials["name"] == "GOOGLE_APPLICATION_CREDENTIALS"
    assert credentials["value"].rpartition("/")[0] == mounts["google"]


def test_the_unit_of_the_page_starts_a_worker_gives_it_time_and_keeps_its_crash_record() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string(_blocks("ini")[0])
    service = unit["Service"]

    assert problem(service["ExecStart"].replace("/opt/rawless/bin/", "", 1)) is None
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["TimeoutStopSec"]) > 25
    assert f"{FOLDER_VARIABLE}=/var/lib/{service['StateDirectory']}" in service["Environment"].split()
