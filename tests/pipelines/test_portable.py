"""Bounded jobs on portable runners: options, the real Job API on this machine, and what a job server is sent."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from apache_beam.options.pipeline_options import PortableOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_fn_api_pb2 as fn_api
from apache_beam.portability.api import beam_fn_api_pb2_grpc as fn_api_grpc
from apache_beam.portability.api import beam_job_api_pb2 as job_api
from apache_beam.portability.api import beam_job_api_pb2_grpc as job_api_grpc
from apache_beam.portability.api import beam_runner_api_pb2 as proto
from apache_beam.runners.portability.local_job_service import LocalJobServicer

from encoders.spec import EncoderSpec
from pipelines import options, portable
from rawless.errors import Unavailable, UserError
from rawless.local.stack import Stack
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from tests.programs import Program
from tests.streams import ANY_ID

Ingested = Callable[..., dict[str, Any]]
Rows = Callable[[], list[dict[str, Any]]]
Write = Callable[..., Path]

HERE = "--job_endpoint=localhost:8099"
DOCKER = ["--environment_type=DOCKER", "--environment_config=registry.example/rawless@sha256:00"]
CLUSTER = ["--runner=FlinkRunner", HERE, "--flink_master=https://flink.example:8081"]

REFUSED = {
    "a job server on another machine": (
        ["--runner=PortableRunner", "--job_endpoint=flink.example:8099"],
        "--job_endpoint is 'flink.example:8099', but must be a port of this machine",
    ),
    "Beam's own job server without a port": (["--runner=PortableRunner", "--job_endpoint=embed"], "must be a port"),
    "artifacts on another machine": (
        ["--runner=FlinkRunner", HERE, "--artifact_endpoint=10.0.0.1:8098"],
        "--artifact_endpoint is '10.0.0.1:8098', but must be a port of this machine",
    ),
    "no job server": (
        ["--runner=PortableRunner"],
        "PortableRunner needs a job server: give one that runs here by --job_endpoint=localhost:PORT.",
    ),
    "a binary to download": (["--runner=PrismRunner"], "or a file with its program by --prism_location=FILE, since"),
    "a jar to download": (["--runner=FlinkRunner"], "or a file with its program by --flink_job_server_jar=FILE, since"),
    "another jar to download": (
        ["--runner=SparkRunner"],
        "or a file with its program by --spark_job_server_jar=FILE, since",
    ),
    "the address of a jar": (
        ["--runner=FlinkRunner", HERE, "--flink_job_server_jar=https://repository.example/a.jar"],
        "--flink_job_server_jar is 'https://repository.example/a.jar', but must be a file",
    ),
    "a version to download": (["--runner=FlinkRunner", HERE, "--flink_version=1.20"], "it chooses a program"),
    "a jar of the job": (["--runner=FlinkRunner", HERE, "--output_executable_path=/tmp/a.jar"], "could run later"),
    "a process of one's own": (
        ["--runner=FlinkRunner", HERE, "--environment_type=PROCESS", '--environment_config={"command": "/bin/sh"}'],
        "--environment_type is 'PROCESS', but must be DOCKER or EXTERNAL, or LOOPBACK if FlinkRunner",
    ),
    "an environment by its URN": (
        ["--runner=FlinkRunner", HERE, "--environment_type=beam:env:process:v1"],
        "but must be DOCKER or EXTERNAL, or LOOPBACK",
    ),
    "environment options": (
        ["--runner=FlinkRunner", HERE, "--environment_option=process_command=/bin/sh"],
        "--environment_options is forbidden: it starts programs",
    ),
    "Beam's own image": (
        ["--runner=FlinkRunner", HERE, "--environment_type=DOCKER"],
        "--environment_type=DOCKER needs --environment_config=IMAGE",
    ),
    "workers on another machine than the engine's": (
        ["--runner=FlinkRunner", HERE, "--environment_type=EXTERNAL", "--environment_config=pool.example:50000"],
        "--environment_type=EXTERNAL needs --environment_config=localhost:PORT",
    ),
    "workers of a cluster in this process": (
        [*CLUSTER, "--environment_type=LOOPBACK"],
        "--environment_type=LOOPBACK needs an engine on this machine",
    ),
    "a cluster without an environment": (CLUSTER, "--environment_type is missing, but must be DOCKER or EXTERNAL"),
    "a Spark cluster without an environment": (
        ["--runner=SparkRunner", HERE, "--spark_master_url=spark://spark.example:7077"],
        "--environment_type is missing, but must be DOCKER or EXTERNAL",
    ),
    "Dataflow's image": (
        ["--runner=FlinkRunner", HERE, *DOCKER, "--sdk_container_image=another"],
        "--sdk_container_image is for Dataflow: give --environment_config",
    ),
    "Java options": (
        ["--runner=FlinkRunner", HERE, "--job_server_jvm_property=-javaagent:a.jar"],
        "it starts programs",
    ),
    "logs of elements": (["--runner=PortableRunner", HERE, "--prism_log_level=debug"], "elements are logged"),
    "a portable option elsewhere": (
        ["--runner=DataflowRunner", HERE],
        "--job_endpoint is forbidden: it is for a portable runner",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_option_that_moves_code_or_the_job_elsewhere_is_refused(case: str) -> None:
    arguments, sentence = REFUSED[case]

    with pytest.raises(UserError) as refusal:
        options.parse(arguments)

    assert sentence in str(refusal.value)


@pytest.mark.parametrize("runner", portable.RUNNERS)
def test_messages_are_not_read_by_a_portable_runner(runner: str) -> None:
    with pytest.raises(UserError, match=rf"{runner} runs bounded jobs only: .*`rawless worker` reads messages"):
        options.parse([f"--runner={runner}", HERE], streaming=True)


@pytest.mark.parametrize(
    ("arguments", "is_local"),
    [
        (["--runner=PortableRunner", HERE], True),
        (["--runner=PrismRunner", HERE], True),
        (["--runner=FlinkRunner", HERE, "--flink_master=[local]", "--parallelism=2"], True),
        (["--runner=SparkRunner", HERE, "--spark_master_url=local[2]"], True),
        (["--runner=FlinkRunner", HERE, *DOCKER], False),
        ([*CLUSTER, *DOCKER], False),
        ([*CLUSTER, "--environment_type=EXTERNAL", "--environment_config=localhost:50000"], False),
        (["--runner=SparkRunner", HERE, "--spark_master_url=spark://spark.example:7077", *DOCKER], False),
    ],
)
def test_a_job_is_local_if_its_workers_are_in_this_process(arguments: list[str], is_local: bool) -> None:
    assert options.is_local(options.parse(arguments)) is is_local


@pytest.mark.parametrize("runner", sorted(set(portable.RUNNERS) - {"PortableRunner"}))
def test_a_program_that_is_here_needs_no_job_server(runner: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch()
    option = {"P": "prism_location", "F": "flink_job_server_jar", "S": "spark_job_server_jar"}[runner[0]]

    assert options.is_local(options.parse([f"--runner={runner}", f"--{option}={program}"]))


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (DOCKER, "--environment_config is 'registry.example/rawless@sha256:00', but the warehouse file has worker_im"),
        (["--environment_type=EXTERNAL", "--environment_config=localhost:50000"], "--environment_config is None, but"),
    ],
)
def test_workers_run_no_other_image_than_the_configured_one(environment: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        options.check_image(options.parse([*CLUSTER, *environment]), "registry.example/rawless@sha256:11")


def test_the_image_of_the_warehouse_file_is_accepted() -> None:
    options.check_image(options.parse([*CLUSTER, *DOCKER]), "registry.example/rawless@sha256:00")


@pytest.fixture
def job_server() -> Iterator[str]:
    """The address of Beam's own job server, which runs jobs by its Python runner over gRPC."""
    server = LocalJobServicer()
    port = server.start_grpc_server(0)
    yield f"localhost:{port}"
    server.stop()


def test_a_job_runs_behind_a_job_server(
    job_server: str,
    ingest: Ingested,
    embeddings: Rows,
    rejections: Rows,
    write_events: Write,
    tiny_sealed: EncoderSpec,
) -> None:
    path = write_events({"event_id": "a-1"}, {"event_id": "a-2"}, {"event_id": "a-3", "text": ""}, b"garbage")

    summary = ingest(path, "--runner=PortableRunner", f"--job_endpoint={job_server}", encoders=(tiny_sealed,))

    assert [row["event_id"] for row in embeddings()] == ["a-1", "a-2"]
    assert [row["reason"] for row in rejections()] == ["empty_text", "malformed_event"]
    assert (summary["read"], summary["embeddings"]) == (4, 2)
    assert summary["rejections"] == {"empty_text": 1, "malformed_event": 1}


def test_a_job_server_that_is_not_there_is_named(
    ingest: Ingested, write_events: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "_CONNECT_SECONDS", 0.1)

    with pytest.raises(Unavailable, match="No job server answers at localhost:9"):
        ingest(write_events({}), "--runner=PortableRunner", "--job_endpoint=localhost:9")


def test_a_job_may_run_longer_than_a_job_server_may_take_to_answer() -> None:
    parsed = options.parse(["--runner=PortableRunner", HERE])

    assert parsed.view_as(PortableOptions).job_server_timeout > 365 * 24 * 3600


def test_workers_in_this_process_are_started_for_the_job_only_and_from_this_machine_only(job_server: str) -> None:
    parsed = options.parse(["--runner=PortableRunner", f"--job_endpoint={job_server}"])

    with portable.workers(parsed):
        pool = json.loads(parsed.view_as(PortableOptions).environment_config)
        with grpc.insecure_channel(pool["url"]) as channel:
            stub = fn_api_grpc.BeamFnExternalWorkerPoolStub(channel)
            refused = stub.StartWorker(fn_api.StartWorkerRequest(worker_id="1", params={"secret": "guessed"}))
        open_on = _listening(int(pool["url"].rsplit(":", 1)[1]))

    assert refused.error == "This request is not of the job."
    assert all(address.endswith("0100007F") for address in open_on)  # 127.0.0.1, also as an address of IPv6


def _listening(port: int) -> set[str]:
    """Return the addresses on which a port of this machine is listened to, as the kernel spells them if it does."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    places = (row[1].split(":") for row in rows if row[3] == "0A")
    return {address for address, number in places if int(number, 16) == port}


class _Recorder(job_api_grpc.JobServiceServicer):
    """A job server that keeps what it is sent, and ends every job at once."""

    def __init__(self) -> None:
        self.prepared: list[job_api.PrepareJobRequest] = []

    def DescribePipelineOptions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return job_api.DescribePipelineOptionsResponse()

    def Prepare(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.prepared.append(request)
        return job_api.PrepareJobResponse(preparation_id="1")

    def Run(self, request: Any, context: Any) -> Any:  # noqa: N802
        return job_api.RunJobResponse(job_id="1")

    def GetStateStream(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        yield job_api.JobStateEvent(state=job_api.JobState.DONE)

    def GetMessageStream(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        yield job_api.JobMessagesResponse(state_response=job_api.JobStateEvent(state=job_api.JobState.DONE))

    def GetJobMetrics(self, request: Any, context: Any) -> Any:  # noqa: N802
        return job_api.GetJobMetricsResponse()


@pytest.fixture
def recorder() -> Iterator[tuple[str, _Recorder]]:
    recorded, server = _Recorder(), grpc.server(ThreadPoolExecutor(4))
    job_api_grpc.add_JobServiceServicer_to_server(recorded, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"localhost:{port}", recorded
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("runner", "master"),
    [
        ("PortableRunner", []),
        ("PrismRunner", []),
        ("FlinkRunner", ["--flink_master=https://flink.example:8081", "--parallelism=8"]),
        ("SparkRunner", ["--spark_master_url=spark://spark.example:7077"]),
    ],
)
def test_a_job_server_is_sent_the_image_the_guards_and_no_secret(
    runner: str,
    master: list[str],
    recorder: tuple[str, _Recorder],
    ingest: Ingested,
    write_events: Write,
    tiny_sealed: EncoderSpec,
    key: KeySource,
) -> None:
    address, recorded = recorder
    path = write_events({"text": "MARKER-IN-A-GRAPH"})

    ingest(path, f"--runner={runner}", f"--job_endpoint={address}", *master, *DOCKER, encoders=(tiny_sealed,))

    (request,) = recorded.prepared
    environments = request.pipeline.components.environments.values()
    images = [
        proto.DockerPayload.FromString(each.payload).container_image
        for each in environments
        if each.urn == common_urns.environments.DOCKER.urn
    ]
    assert images == ["registry.example/rawless@sha256:00"]
    sent = dict(request.pipeline_options)
    assert list(sent["beam:option:beam_plugins:v1"]) == ["rawless.privacy"]
    assert "disable_always_on_exception_sampling" in list(sent["beam:option:experiments:v1"])
    assert b"MARKER" not in request.SerializeToString()
    assert Path(str(key.path)).read_bytes().strip() not in request.SerializeToString()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Beam's own job server as a process of its own."""
    port = tmp_path_factory.mktemp("job-server") / "port"
    module = "apache_beam.runners.portability.local_job_service_main"
    server = subprocess.Popen([sys.executable, "-m", module, "--port_file", str(port)])
    try:
        while not port.exists():
            assert server.poll() is None
            time.sleep(0.05)
        yield f"localhost:{port.read_text()}"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.full
def test_a_command_runs_behind_a_job_server_of_another_process(
    process: str, tmp_path: Path, stack: Stack, write_events: Write, tiny_file: Path
) -> None:
    stream = tmp_path / "stream.yaml"
    stream.write_text(
        yaml.safe_dump({"stream": "portable", "modality": "text", "encoders": [str(tiny_file)], "event_id": ANY_ID})
    )
    source = write_events(*({"stream": "portable", "event_id": f"e-{number}"} for number in range(20)))
    command = ["ingest", "--stream", stream, "--source", f"jsonl:{source}", "--json", "--"]

    out, err = Program(*command, "--runner=PortableRunner", f"--job_endpoint={process}").communicate(timeout=120)

    assert json.loads(out)["embeddings"] == 20, err


@pytest.mark.full
def test_a_failing_step_ends_the_job_with_its_own_sentence(
    process: str,
    ingest: Ingested,
    warehouse: Warehouse,
    write_events: Write,
    tiny_sealed: EncoderSpec,
    capfd: pytest.CaptureFixture[str],
) -> None:
    nowhere = replace(warehouse, emulator=Emulator("http://127.0.0.1:9", "127.0.0.1:9"), retry_seconds=0.2)
    path = write_events({"text": "MARKER-BEHIND-A-JOB-SERVER"})

    with pytest.raises(Unavailable) as failure:
        ingest(
            path,
            "--runner=PortableRunner",
            f"--job_endpoint={process}",
            encoders=(tiny_sealed,),
            warehouse=nowhere,
        )

    assert "internal error" not in str(failure.value)
    assert "MARKER" not in str(failure.value) + "".join(capfd.readouterr())


ENGINES = {
    "PrismRunner": ("RAWLESS_TEST_PRISM", "prism_location", "the binary of Prism"),
    "FlinkRunner": ("RAWLESS_TEST_FLINK_JAR", "flink_job_server_jar", "the jar of Beam's job server for Flink"),
    "SparkRunner": ("RAWLESS_TEST_SPARK_JAR", "spark_job_server_jar", "the jar of Beam's job server for Spark"),
}


@pytest.mark.full
@pytest.mark.parametrize("runner", ENGINES)
def test_a_job_runs_on_the_engine_itself(
    runner: str, ingest: Ingested, embeddings: Rows, write_events: Write, tiny_sealed: EncoderSpec
) -> None:
    variable, option, what = ENGINES[runner]
    if not (program := os.environ.get(variable)):
        pytest.skip(f"{variable} does not name {what}, which no package contains")
    path = write_events(*({"event_id": f"e-{number}"} for number in range(20)), {"text": ""})

    summary = ingest(path, f"--runner={runner}", f"--{option}={program}", encoders=(tiny_sealed,))

    assert len(embeddings()) == summary["embeddings"] == 20
    assert summary["rejections"] == {"empty_text": 1}
