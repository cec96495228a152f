"""`rawless job`, as a person or a deployment calls it."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawless.cli.main import run
from tests.deploy.fake_dataflow import PATH, FakeDataflow
from tests.deploy.job_files import LABELS, NAME, changed, write

Job = Callable[..., tuple[int, str, str]]
_COMMAND = (
    "import sys; import rawless.doctor.google as google; google.ENDPOINT = sys.argv[1]\n"
    "from rawless.cli.main import run; sys.exit(run(sys.argv[2:]))"
)


@pytest.fixture
def job(dataflow: FakeDataflow, capfd: pytest.CaptureFixture[str]) -> Job:
    """Return a function that runs a command and returns its exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["job", *arguments])
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The file after a change of the job."""
    return write(tmp_path, changed(9, "launchParameter", "environment", "maxWorkers"), "other.json")


def test_a_stream_is_launched_changed_and_drained(job: Job, dataflow: FakeDataflow, file: str, other: str) -> None:
    assert job("launch", file)[:2] == (
        0,
        f"{NAME} (job-1) of the stream message runs: "
        "https://console.cloud.google.com/dataflow/jobs/europe-west4/job-1?project=a-project\n",
    )
    assert job("update", other)[0] == 0
    assert job("replace", file)[0] == 0
    assert job("drain", file)[0] == 0
    assert list(dataflow.states().values()) == ["UPDATED", "DRAINED", "DRAINED"]


def test_status_says_by_its_code_whether_the_job_is_as_in_the_file(
    job: Job, dataflow: FakeDataflow, file: str, other: str
) -> None:
    code, out, _ = job("status", file)
    assert (code, f"No job runs: start it by `rawless job launch {file}`." in out) == (3, True)

    job("launch", file)
    code, out, _ = job("status", file)
    assert (code, f"The job runs by the request in {file}." in out) == (0, True)
    assert all(word in out for word in (NAME, "job-1", "running", "2026-11-29 20:00:00", "current"))

    code, out, _ = job("status", other)
    assert (code, "differs" in out, f"`rawless job replace {other}` changes it." in out) == (3, True, True)


def test_status_is_not_done_while_an_old_job_still_runs_beside(job: Job, dataflow: FakeDataflow, file: str) -> None:
    job("launch", file)
    old = dataflow.add("old", LABELS)

    assert job("status", file)[0] == 3

    old.states = ["DRAINING"]
    assert job("status", file)[0] == 0


def test_status_shows_jobs_that_failed(job: Job, dataflow: FakeDataflow, file: str) -> None:
    dataflow.add(NAME, LABELS, ("FAILED",))

    assert "failed" in job("status", file)[1]


def test_status_and_changes_are_printed_as_json(job: Job, dataflow: FakeDataflow, file: str) -> None:
    launched = json.loads(job("launch", file, "--json")[1])
    status = json.loads(job("status", file, "--json")[1])

    assert launched["jobs"][0]["id"] == "job-1"
    assert {name: status[name] for name in ("stream", "current")} == {"stream": "message", "current": True}
    assert status["jobs"][0] == {
        "name": NAME,
        "id": "job-1",
        "state": "running",
        "since": "2026-11-29T20:00:00.123456+00:00",
        "request": "current",
        "link": "https://console.cloud.google.com/dataflow/jobs/europe-west4/job-1?project=a-project",
    }


@pytest.mark.parametrize("command", ["launch", "update", "drain", "replace", "status"])
def test_a_file_that_dataflow_would_refuse_is_refused_before_anything_is_sent(
    job: Job, dataflow: FakeDataflow, tmp_path: Path, command: str
) -> None:
    wrong = write(tmp_path, changed("THROUGHPUT_BASED", "launchParameter", "environment", "autoscalingAlgorithm"))

    code, out, errors = job(command, wrong)

    assert (code, out, dataflow.google.requests) == (2, "", [])
    assert "autoscalingAlgorithm is THROUGHPUT_BASED, but Dataflow knows only" in errors
    assert "Traceback" not in errors


def test_a_job_that_fails_is_exit_code_1(job: Job, dataflow: FakeDataflow, file: str) -> None:
    dataflow.starts = ("FAILED",)

    code, out, errors = job("launch", file)

    assert (code, out, errors.startswith(f"Error: {NAME} (job-1) did not start")) == (1, "", True)


def test_a_job_file_in_a_bucket_is_read_there(
    job: Job, dataflow: FakeDataflow, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[tuple[Any, ...]] = []

    def download(bucket: str, name: str, *_: Any, **__: Any) -> bytes:
        places.append((bucket, name))
        return Path(file).read_bytes()

    monkeypatch.setattr("rawless.deploy.job_file.download", download)

    assert job("launch", "gs://a-config/jobs/message.json")[0] == 0
    assert places == [("a-config", "jobs/message.json")]


@pytest.mark.parametrize(("command", "before"), [("launch", ()), ("replace", ("RUNNING",))])
def test_a_process_that_is_killed_before_it_heard_of_its_job_leaves_no_orphan(
    job: Job, dataflow: FakeDataflow, file: str, command: str, before: tuple[str, ...]
) -> None:
    for state in before:
        dataflow.add(NAME, LABELS, (state,))
    is_launched, is_killed = threading.Event(), threading.Event()

    def wait_for_the_end() -> bool:
        is_launched.set()
        return not is_killed.wait(60)

    dataflow.before_answer = wait_for_the_end
    arguments = [sys.executable, "-c", _COMMAND, dataflow.google.url + "/{service}", "job", command, file]
    with subprocess.Popen(arguments) as process:
        assert is_launched.wait(60)
        process.kill()
    is_killed.set()
    dataflow.before_answer = lambda: True

    assert job(command, file)[0] == 0

    assert len(dataflow.launched) == 1
    assert [each.state for each in dataflow.jobs] == ["DRAINED"] * len(before) + ["RUNNING"]
    assert f"PUT {PATH}/jobs/job-1" in dataflow.google.requests or not before
