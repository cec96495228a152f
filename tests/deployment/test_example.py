"""The example deployment: an image with its encoders is made as documented, and its jobs are launched from it."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pytest
import torch
import torchvision
import yaml
from apache_beam.options.pipeline_options import DebugOptions

from encoders.catalogue import lookup
from rawless.bearer import TokenCredentials
from rawless.cli.flex_template import launch
from rawless.cli.main import run
from rawless.events.stream import Stream, load_stream
from rawless.local.stack import Stack
from rawless.privacy.pseudonyms import KEY_VARIABLE
from rawless.serving.config import load_config
from rawless.warehouse.client import Warehouse
from tests.keys import FIXED_KEY

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "terraform"
PAGE = (ROOT / "docs" / "container.md").read_text(encoding="utf-8")
IMAGE = f"europe-west4-docker.pkg.dev/a-project/rawless/rawless@sha256:{'0' * 64}"


def _streams() -> dict[str, Path]:
    """The stream files that the example's variables name."""
    text = (TERRAFORM / "example.tfvars").read_text(encoding="utf-8")
    (block,) = re.findall(r"^streams = \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    files = dict(re.findall(r'^  (\w+) = \{\n    file +=? "(.+)"|$', block, re.MULTILINE))
    return {name: (TERRAFORM / file).resolve() for name, file in files.items() if name}


def _needed() -> set[str]:
    """The encoders of the example's streams, and of its service."""
    streams: list[Stream] = [load_stream(file) for file in _streams().values()]
    return {ref for stream in streams for ref in stream.encoders}


def _line(start: str) -> list[str]:
    """The words of the command of the page that begins so, without variables."""
    lines = [line.strip() for line in re.sub(r"\\\n *", "", PAGE).splitlines()]
    (line,) = [each for each in lines if each.startswith(start)]
    return [word for word in shlex.split(line) if not word.startswith("RAWLESS_HUB")]


def test_the_documented_build_has_every_encoder_of_the_example(tmp_path: Path) -> None:
    given = dict(word.split("=", 1) for word in _line("make image VARIANT=cuda SPECS")[2:])

    assert len(_streams()) == 2
    assert set(given["ENCODERS"].split()) == _needed()
    assert {ref for ref in _needed() if not lookup(ref).sealed} == {_line("RAWLESS_HUB=1 rawless encoder seal")[3]}


def test_the_service_of_the_example_follows_a_stream_of_the_example(tmp_path: Path) -> None:
    """In the bucket, stream files are in streams/."""
    (tmp_path / "streams").mkdir()
    for name, file in _streams().items():
        (tmp_path / "streams" / f"{name}.yaml").write_bytes(file.read_bytes())
    (tmp_path / "service.yaml").write_bytes((TERRAFORM / "example-service.yaml").read_bytes())

    _, served = load_config(tmp_path / "service.yaml")

    assert {head.encoder for head in served.values()} <= _needed()


@pytest.fixture
def deployed(stack: Stack, warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A warehouse file for the local stack, as a launcher on Google Cloud has one."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stack.bigquery.rest)
    # An emulator gets no credentials, but the local BigQuery wants its token.
    monkeypatch.setattr("rawless.warehouse.client.TokenCredentials", lambda _: TokenCredentials(stack.token))
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", stack.pubsub)
    monkeypatch.setenv(KEY_VARIABLE, FIXED_KEY)
    file = tmp_path / "warehouse.yaml"
    file.write_text(yaml.safe_dump(warehouse.config.model_dump()))
    return file


def _random_weights(folder: Path) -> None:
    """Write a ResNet-50 with random weights where the hub's file would be."""
    (folder / "torchvision").mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(50)
        torch.save(torchvision.models.resnet50().state_dict(), folder / "torchvision" / "resnet50-0676ba61.pth")


@pytest.mark.full
def test_its_jobs_are_launched_from_an_image_that_was_made_as_documented(
    deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _random_weights(tmp_path / "weights")
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "specs").mkdir()
    # On the machine that has the weights, then in the build of the image, which finds both folders.
    assert run(_line("RAWLESS_HUB=1 rawless encoder seal")[1:]) == 0
    monkeypatch.setenv("RAWLESS_SPECS", str(tmp_path / "specs"))
    assert run(["encoder", "bake", "--into", str(tmp_path / "image"), *sorted(_needed())]) == 0
    # In the image, and where encoders are managed.
    monkeypatch.setenv("RAWLESS_SPECS", str(tmp_path / "image" / "specs"))
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path / "image" / "weights"))
    for ref in sorted(_needed()):
        assert run(["encoder", "register", f"image/specs/{ref}.yaml", "--warehouse", str(deployed)]) == 0
    built: list[beam.Pipeline] = []
    monkeypatch.setattr(beam.Pipeline, "run", lambda self: built.append(self) or SimpleNamespace(has_job=False))
    # It would ask the cloud for the bucket.
    monkeypatch.setattr("apache_beam.options.pipeline_options.GoogleCloudOptions.validate", lambda *_: [])

    for name, file in _streams().items():
        given = {
            "stream": str(file),
            "source": f"pubsub:projects/local-dev/subscriptions/example-{name}",
            "warehouse": str(deployed),
            "device": "cuda" if name == "photo_upload" else "cpu",
            "runner": "DataflowRunner",
            "project": "a-project",
            "region": "europe-west4",
            "temp_location": "gs://a-bucket/t",
            "template_location": "gs://a-bucket/job.json",
            "sdk_container_image": IMAGE,
        }
        assert launch([f"--{option}={value}" for option, value in given.items()]) == 0
        (ref,) = load_stream(file).encoders
        assert f"wrote the graph of the job, with {ref}" in capfd.readouterr().out

    assert len(built) == 2
    assert all(
        "disable_always_on_exception_sampling" in each._options.view_as(DebugOptions).experiments for each in built
    )
