"""A canary stream is deployed and removed: on this machine, and on Google Cloud where a deployment is named.

On this machine Dataflow and Cloud Storage are small servers with their protocols, and `rawless ingest` does the work of
the job while Dataflow's job is active.
"""

import io
import json
import os
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rawless.audit.canary import delivery
from rawless.cli.main import run
from rawless.connect import open_warehouse
from rawless.events.pubsub import PubSub
from rawless.local import stack as local_stack
from tests.deploy.canary_stream import Deployed, Rawless, count_rows, of_outputs, run_and_remove
from tests.deploy.fake_dataflow import FakeDataflow
from tests.deploy.job_files import changed
from tests.object_server import Store

OUTPUTS_VARIABLE = "RAWLESS_TEST_OUTPUTS"
"""Names a file with what `terraform output -json` prints of an applied deployment."""
STREAM_VARIABLE = "RAWLESS_TEST_STREAM"
"""Names a stream of it that has no job and no events of its own; `canary` if it is not set."""
TOPIC, SUBSCRIPTION = (f"projects/local-dev/{kind}/message" for kind in ("topics", "subscriptions"))


@pytest.fixture
def rawless(capfd: pytest.CaptureFixture[str]) -> Rawless:
    def call(*command: str) -> tuple[int, object]:
        capfd.readouterr()
        code = run([*command, "--json"])
        printed, errors = capfd.readouterr()
        assert printed, errors
        return code, json.loads(printed)

    return call


@pytest.fixture
def deployed(
    own_home: Path,
    store: Store,
    dataflow: FakeDataflow,
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Deployed:
    """A stream that is deployed on this machine. Its job reads while Dataflow has one that is active."""
    monkeypatch.setenv("RAWLESS_HOME", str(own_home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    request = changed("gs://bucket/streams/message-1.yaml", "launchParameter", "parameters", "stream")
    request["launchParameter"]["environment"]["tempLocation"] = "gs://bucket/temp"
    stream = f"stream: message\nmodality: text\nencoders: ['{tiny_file}']\nevent_id: uuid\n"
    store.put("jobs/message.json", json.dumps(request).encode())
    store.put("streams/message-1.yaml", stream.encode())
    outputs = {
        "job_files": {"value": {"message": "gs://bucket/jobs/message.json"}},
        "topics": {"value": {"message": TOPIC}},
        "warehouse_file": {"value": "project: local-dev\n"},
    }
    found = of_outputs(outputs, "message", tmp_path)
    running = local_stack.up(own_home)
    PubSub(running.pubsub, running.token).ensure_subscription(SUBSCRIPTION, TOPIC)

    def work(_: float) -> None:
        if any(job.is_active for job in dataflow.jobs):
            source = ["--source", f"pubsub:{SUBSCRIPTION}", "--until-idle", "0.3"]
            with redirect_stdout(io.StringIO()):
                assert run(["ingest", "--stream", str(found.stream), *source]) == 0

    monkeypatch.setattr(delivery.time, "sleep", work)
    return Deployed(found.job_file, found.stream, found.topic, found.buckets)


@pytest.mark.full
def test_a_canary_stream_is_launched_audited_and_removed(
    deployed: Deployed, dataflow: FakeDataflow, rawless: Rawless, own_home: Path
) -> None:
    warehouse, before = open_warehouse(None), datetime.now(UTC)

    report = run_and_remove(rawless, deployed, warehouse)

    assert report["embedded"] > 0
    assert report["traces"] == 0
    assert {sink["sink"]: sink["status"] for sink in report["sinks"]}["buckets"] == "clean"
    assert list(dataflow.states().values()) == ["DRAINED"]
    assert count_rows(warehouse, "message", before) == 0


def test_what_the_canaries_leave_is_removed_if_they_do_not_arrive(
    deployed: Deployed, dataflow: FakeDataflow, rawless: Rawless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawless.audit.canary.run.delivery.wait", lambda *_: 1 / 0)

    with pytest.raises(AssertionError):
        run_and_remove(rawless, deployed, open_warehouse(None))

    assert list(dataflow.states().values()) == ["DRAINED"]


def test_a_stream_whose_job_runs_already_is_left_alone(
    deployed: Deployed, dataflow: FakeDataflow, rawless: Rawless
) -> None:
    assert rawless("job", "launch", deployed.job_file)[0] == 0

    with pytest.raises(AssertionError, match="A job of message runs: name a stream that has none"):
        run_and_remove(rawless, deployed, open_warehouse(None))

    assert list(dataflow.states().values()) == ["RUNNING"]


@pytest.mark.cloud
def test_a_canary_stream_is_launched_audited_and_removed_on_google_cloud(rawless: Rawless, tmp_path: Path) -> None:
    """Takes as long as Dataflow takes to start and to drain a job. docs/deploy-check.md says what it needs."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    if not (file := os.environ.get(OUTPUTS_VARIABLE)):
        pytest.skip(f"{OUTPUTS_VARIABLE} names no outputs of an applied deployment")
    try:
        google.auth.default()
    except DefaultCredentialsError:
        pytest.skip("there are no credentials of Google Cloud here")
    stream = os.environ.get(STREAM_VARIABLE, "canary")
    deployed = of_outputs(json.loads(Path(file).read_text(encoding="utf-8")), stream, tmp_path)
    warehouse, before = open_warehouse(deployed.warehouse), datetime.now(UTC)

    report = run_and_remove(rawless, deployed, warehouse)

    assert report["embedded"] > 0
    assert report["traces"] == 0
    assert count_rows(warehouse, stream, before) == 0
