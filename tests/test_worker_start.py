"""What a worker does before its first event is measured, and the smallest disk that is accepted holds its image."""

import json
from pathlib import Path

import pytest

from benchmarks import worker_start
from encoders.encoder import Encoder
from rawless.doctor.job_options import SMALLEST_DISK

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def test_each_stage_of_a_start_is_timed_in_a_fresh_process(minilm: Encoder) -> None:
    started = worker_start.start(minilm.spec)

    assert set(started["stages"]) == set(worker_start.STAGES)
    assert all(0 < each < 60 for each in started["stages"].values())
    assert started["seconds"] > 1
    assert started["megabytes"] > 100


def test_the_smallest_disk_holds_the_image_three_times_beside_what_dataflow_requires() -> None:
    image = worker_start.unpacked_packages()

    assert 30 + 3 * image <= SMALLEST_DISK
    assert f"disk_size_gb >= {SMALLEST_DISK} " in (ROOT / "terraform" / "design" / "variables.tf").read_text()
    stored = json.loads((RESULTS / "worker-start.json").read_text())["figures"]
    assert [each["median"] for each in stored if each["of"] == "image"] == [pytest.approx(image, rel=0.05)]


def test_another_version_than_the_locks_is_not_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.worker.lock"
    lock.write_text("torch==1.0.0 \\\n    --hash=sha256:0\npywin32==1 ; sys_platform == 'win32'\n")
    monkeypatch.setattr(worker_start, "LOCK", lock)

    with pytest.raises(ValueError, match=r"torch is .* here and 1\.0\.0 in requirements\.worker\.lock"):
        worker_start.unpacked_packages()
