"""Bounded jobs on Beam's portable runners: Prism, Flink, Spark, and any other behind a job server.

Beam sends such a job to a job server without encryption or credentials, and starts programs that it downloads. So the
server must be on this machine, its program a file, and the workers' code in their image or in this process.
"""

import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions, WorkerOptions
from apache_beam.portability.api import beam_fn_api_pb2 as fn_api
from apache_beam.portability.api import beam_fn_api_pb2_grpc as fn_api_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

from rawless.errors import Unavailable, UserError
from rawless.loopback import is_loopback

RUNNERS = ("PortableRunner", "PrismRunner", "FlinkRunner", "SparkRunner")
LOOPBACK = "LOOPBACK"
"""The environment whose workers run in this process."""
_PROGRAMS = {
    "PrismRunner": "prism_location",
    "FlinkRunner": "flink_job_server_jar",
    "SparkRunner": "spark_job_server_jar",
}
"""The option that names the program which Beam would download otherwise."""
_CONNECT_SECONDS = 10.0
_RUN_SECONDS = 10**8
"""Beam ends its stream of a job's states at the timeout of the job server, which fails jobs that run longer."""


def complete(options: PipelineOptions) -> None:
    """Fill in what a job on a portable runner needs. Raises UserError for options that it may not have."""
    runner, portable = _name(options), options.view_as(PortableOptions)
    for name in ("job_endpoint", "artifact_endpoint"):
        address = getattr(portable, name)
        if address and not _is_here(address):
            raise UserError(
                f"The Beam option --{name} is {address!r}, but must be a port of this machine, such as localhost:8099: "
                "Beam sends the job there without encryption. Run the job server here, or forward its port."
            )
    _check_program(options, runner)
    if options.get_all_options().get("prism_log_level") == "debug":
        raise UserError("The Beam option --prism_log_level may not be debug, at which elements are logged.")
    if options.view_as(WorkerOptions).sdk_container_image:
        raise UserError("The Beam option --sdk_container_image is for Dataflow: give --environment_config=IMAGE.")
    _complete_environment(options, runner)
    if "job_server_timeout" not in options.get_all_options(drop_default=True):
        portable.job_server_timeout = _RUN_SECONDS


def is_portable(options: PipelineOptions) -> bool:
    """Return whether a job runs on a portable runner."""
    return _name(options) in RUNNERS


def image(options: PipelineOptions) -> str | None:
    """Return the image that the workers run, None if their environment does not tell."""
    portable = options.view_as(PortableOptions)
    return str(portable.environment_config) if portable.environment_type == "DOCKER" else None


def runs_here(options: PipelineOptions) -> bool:
    """Return whether the workers run in this process."""
    return bool(options.view_as(PortableOptions).environment_type == LOOPBACK)


def _name(options: PipelineOptions) -> str:
    return str(options.view_as(StandardOptions).runner).rsplit(".", 1)[-1]


def _check_program(options: PipelineOptions, runner: str) -> None:
    portable, values = options.view_as(PortableOptions), options.get_all_options()
    option = _PROGRAMS.get(runner)
    program = values.get(option) if option else None
    if program and not Path(program).is_file():
        raise UserError(f"The Beam option --{option} is {program!r}, but must be a file: nothing is downloaded.")
    if not portable.job_endpoint and not program:
        alternative = f", or a file with its program by --{option}=FILE, since nothing is downloaded" if option else ""
        raise UserError(
            f"{runner} needs a job server: give one that runs here by --job_endpoint=localhost:PORT{alternative}."
        )


def _complete_environment(options: PipelineOptions, runner: str) -> None:
    """Check where workers run and what. Raises UserError if that is unknown, or not an image of its own."""
    portable = options.view_as(PortableOptions)
    is_here = _engine_is_here(options, runner)
    kind, config = portable.environment_type or (LOOPBACK if is_here else None), portable.environment_config
    if kind == "DOCKER":
        valid, needs = bool(config) and not config.lstrip().startswith("{"), "--environment_config=IMAGE"
    elif kind == "EXTERNAL":
        valid = bool(config) and _is_here(config)
        needs = "--environment_config=localhost:PORT, a pool of workers beside each worker of the engine"
    elif kind == LOOPBACK:
        valid, needs = not config and is_here, "an engine on this machine, and no --environment_config"
    else:
        given = "missing" if kind is None else repr(kind)
        raise UserError(
            f"The Beam option --environment_type is {given}, but must be DOCKER or EXTERNAL, or LOOPBACK if {runner} "
            "has its engine on this machine: workers run the code of their image, or of this process."
        )
    if not valid:
        raise UserError(f"The Beam option --environment_type={kind} needs {needs}.")
    portable.environment_type = kind


def _engine_is_here(options: PipelineOptions, runner: str) -> bool:
    values = options.get_all_options()
    if runner == "FlinkRunner":
        return values["flink_master"] in ("[local]", "[auto]") or _is_here(values["flink_master"])
    if runner == "SparkRunner":
        return str(values["spark_master_url"]).startswith("local")
    return True  # Prism, or a job server on this machine, which cannot reach this process if its engine is elsewhere


def _is_here(address: str) -> bool:
    try:
        return is_loopback(urlsplit(address if "://" in address else f"//{address}").hostname or "")
    except ValueError:
        return False


class _Workers(BeamFnExternalWorkerPoolServicer):
    """Starts workers in this process for whoever knows a secret, which travels in the job."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """See Beam's servicer."""
        if not secrets.compare_digest(dict(request.params).get("secret", ""), self._secret):
            return fn_api.StartWorkerResponse(error="This request is not of the job.")
        return super().StartWorker(request, context)


@contextmanager
def workers(options: PipelineOptions) -> Iterator[None]:
    """Within the block, the options of a job with LOOPBACK workers name a pool of workers in this process.

    Beam's own pool listens on all networks, and runs the code of everyone who reaches it. Does nothing for other jobs.
    Raises Unavailable if the job server does not answer.
    """
    if not is_portable(options):
        yield
        return
    portable = options.view_as(PortableOptions)
    _check_server(portable.job_endpoint)
    if portable.environment_type != LOOPBACK:
        yield
        return
    secret = secrets.token_urlsafe(32)
    server = grpc.server(ThreadPoolExecutor(1), options=_NO_LIMIT_OF_PINGS)
    port = server.add_insecure_port("127.0.0.1:0")
    fn_api_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(_Workers(secret), server)
    server.start()
    portable.environment_type = "EXTERNAL"
    portable.environment_config = f'{{"url": "127.0.0.1:{port}", "params": {{"secret": "{secret}"}}}}'
    try:
        yield
    finally:
        portable.environment_type, portable.environment_config = LOOPBACK, None
        server.stop(None).wait()


_NO_LIMIT_OF_PINGS: Sequence[tuple[str, int]] = (
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
)


def _check_server(address: str | None) -> None:
    if not address:  # Beam starts one
        return
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            is_ready = False
        else:
            is_ready = True
    if not is_ready:
        raise Unavailable(f"No job server answers at {address} (--job_endpoint): start it, and run again.")
