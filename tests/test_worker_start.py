"""What a worker does before its first event is measured, and the smallest disk that is accepted holds its image."""

import json
from pathlib import Path

import pytest

from benchmarks import worker_start
from encoders.encoder import Encoder
from rawless.deploy.image import image_contents
from rawless.doctor.job_options import SMALLEST_DISK

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.full
def test_each_stage_of_a_start_is_timed_in_a_fresh_process(minilm: Encoder) -> None:
    started = worker_start.start(minilm.spec)

    assert set(started["stages"]) == set(worker_start.STAGES)
    assert all(0 < each < 60 for each in started["stages"].values())
    assert started["seconds"] > 1
    assert started["megabytes"] > 100


def test_the_smallest_disk_holds_the_image_three_times_beside_what_dataflow_requires() -> None:
    contents = image_contents(worker_start.LOCK)
    image = contents.size / 1e9

    assert not contents.of_unknown_size
    assert 30 + 3 * image <= SMALLEST_DISK
    assert f"disk_size_gb >= {SMALLEST_DISK} " in (ROOT / "terraform" / "design" / "variables.tf").read_text()
    stored = json.loads((RESULTS / "worker-start.json").read_text())["figures"]
    assert [each["median"] for each in stored if each["of"] == "image"] == [pytest.approx(image, rel=0.05)]
