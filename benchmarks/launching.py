"""Measure what it takes to launch a job elsewhere, up to the request that Dataflow would receive.

`rawless ingest … -- --runner=DataflowRunner` runs in a process of its own. The local warehouse stands in for the one
that the file names, and the request is rendered by Beam's own client instead of being sent.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import yaml

from benchmarks.figures import Figure, figure, peak_memory, seconds
from rawless.connect import PUBSUB_VARIABLE, open_warehouse
from rawless.local import home, stack
from rawless.warehouse.encoder_registry import register

if TYPE_CHECKING:
    from benchmarks.work import Work

REQUIRED_MEMORY = "<= 500"
OPTIONS = (
    *("--runner=DataflowRunner", "--project=a-project", "--region=europe-west4", "--job_name=launched"),
    *("--temp_location=gs://bucket/temp", "--sdk_container_image=an-image"),
)
_WAREHOUSE = {"project": "a-project", **{name: name for name in ("events", "snapshots", "builds", "subjects", "audit")}}


class Launched(NamedTuple):
    """What a launch took."""

    megabytes: float
    """The peak of the process."""
    seconds: float
    modules: Sequence[str]
    """Libraries of encoders that were imported."""
    steps: int
    """Steps in the request's graph."""


def measure(count: int) -> list[Figure]:
    """Seconds and MB with and without loading the encoder, as every launch did before."""
    from benchmarks.work import minilm, resnet50  # with torch, which the process that launches must import by itself

    figures = []
    for work in (resnet50(1), minilm(1)):
        with tempfile.TemporaryDirectory() as folder:
            register(open_warehouse(), work.spec)
            stream = write_stream(work, Path(folder))
            for what, loads in (("launch", False), ("launch that loads the encoder", True)):
                launches = [launch(stream, Path(folder), loads=loads) for _ in range(count)]
                megabytes, times = [each.megabytes for each in launches], [each.seconds for each in launches]
                figures += [
                    figure("launching", work.label, what, megabytes, "MB", "" if loads else REQUIRED_MEMORY),
                    figure("launching", work.label, what, times, "seconds"),
                ]
    return figures


def write_stream(work: "Work", folder: Path) -> Path:
    """Return a stream file, beside which there is a file with the encoder's spec."""
    spec, stream = folder / "spec.yaml", folder / "stream.yaml"
    spec.write_text(work.spec.model_dump_json())
    fields = {"stream": "launched", "modality": work.spec.modality, "encoders": [str(spec)], "subject": "none"}
    stream.write_text(yaml.safe_dump(fields))
    return stream


def launch(stream: Path, folder: Path, *, loads: bool = False) -> Launched:
    """Launch a job of a stream in a fresh process, with the local stack of this one."""
    warehouse = folder / "warehouse.yaml"
    warehouse.write_text(yaml.safe_dump(_WAREHOUSE))
    environment = os.environ | {PUBSUB_VARIABLE: stack.up(home.folder()).pubsub}
    command = [sys.executable, "-m", "benchmarks.launching", str(stream), str(warehouse), *(["loads"] if loads else [])]
    output: list[bytes] = []
    duration = seconds(
        lambda: output.append(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment).stdout)
    )
    measured = json.loads(output[0].splitlines()[-1])
    return Launched(measured["megabytes"], duration, measured["modules"], measured["steps"])


def _launch(stream: str, warehouse: str, *, loads: bool) -> dict[str, Any]:
    from rawless.cli.main import run

    requests: list[int] = []
    _patch(requests, loads=loads)
    source = "pubsub:projects/local-dev/subscriptions/launched"
    code = run(["ingest", "--stream", stream, "--source", source, "--warehouse", warehouse, "--", *OPTIONS])
    if code or not requests:
        raise SystemExit("The benchmark is invalid: the job was not launched.")
    libraries = ("torch", "torchvision", "transformers", "openvino")
    return {
        "megabytes": peak_memory(),
        "modules": [name for name in libraries if name in sys.modules],
        "steps": requests[0],
    }


def _patch(requests: list[int], *, loads: bool) -> None:
    """Render the request where it would be sent, and use the local warehouse where the file's would be opened."""
    from apache_beam import Pipeline
    from apache_beam.options.pipeline_options import GoogleCloudOptions
    from apache_beam.runners.dataflow.internal import apiclient
    from apache_beam.transforms.environments import DockerEnvironment

    import rawless.job

    class Rendered:
        has_job = False

    def render(self: Pipeline) -> Rendered:
        environment = DockerEnvironment.from_container_image("an-image")
        graph = self.to_runner_api(default_environment=environment)
        apiclient.Environment([], self._options, "8", "gs://bucket/pipeline.pb", graph)
        requests.append(len(graph.components.transforms))
        return Rendered()

    Pipeline.run = render
    GoogleCloudOptions.validate = lambda *_: []  # it would look up the bucket
    patch.object(rawless.job, "open_existing_warehouse", lambda *_: open_warehouse()).start()
    if loads:
        from encoders.load import load

        patch.object(rawless.job, "check_local_files", lambda spec: load(spec, "cpu")).start()


if __name__ == "__main__":
    print(json.dumps(_launch(sys.argv[1], sys.argv[2], loads="loads" in sys.argv)))
