"""`rawless doctor` on a machine with a GPU: which driver there is, and whether torch can use it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from encoders import driver
from rawless.cli.main import run
from rawless.doctor import machine
from tests.drivers import Install, installer


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Install]:
    """The check of the device alone: the others are the same with any driver."""
    monkeypatch.setattr(machine, "_CHECKS", {"device": machine._device})
    yield installer(monkeypatch, tmp_path)
    driver.check_driver.cache_clear()


def test_a_driver_that_torch_can_use_is_named(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install("580.95.05", 13_000)

    assert run(["doctor"]) == 0
    found = "ok   device: CUDA, NVIDIA L4, the GPU driver 580.95.05 for CUDA 13.0; torch needs CUDA 13.0\n"
    assert capfd.readouterr().out == found


def test_a_driver_that_is_too_old_for_torch_fails(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install("535.183.06", 12_020, visible=False)

    assert run(["doctor"]) == 1
    (line,) = capfd.readouterr().out.splitlines()
    assert line.startswith("FAIL device: This machine has the GPU driver 535.183.06 for CUDA 12.2, but torch ")
    assert f"{torch.__version__} needs CUDA 13.0, thus a driver from 580 on: on Dataflow, request it with" in line


def test_a_machine_without_a_driver_has_a_cpu(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install()

    assert run(["doctor"]) == 0
    assert capfd.readouterr().out == "ok   device: CPU (torch sees no CUDA device; no GPU driver)\n"
