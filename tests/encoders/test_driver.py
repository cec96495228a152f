"""A worker says which driver it found, and stops with one sentence where torch cannot use it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from encoders import driver
from encoders.catalogue import lookup
from encoders.device import pick_device
from encoders.load import load
from rawless.errors import UserError
from tests.drivers import OPEN, PROPRIETARY, Install, installer

OLD, COMPATIBLE, NEW = ("525.105.17", 12_000), ("535.183.06", 13_000), ("580.95.05", 13_000)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Install]:
    yield installer(monkeypatch, tmp_path)
    driver.check_driver.cache_clear()


@pytest.mark.parametrize(("file", "version"), [(PROPRIETARY, "535.183.06"), (OPEN, "580.95.05")])
def test_the_version_of_both_kinds_of_the_kernels_module_is_read(
    file: str, version: str, install: Install, tmp_path: Path
) -> None:
    install("1.1", 13_000)
    (tmp_path / "version").write_text(file.format(version=version))

    assert driver.find_driver() == driver.Driver(version, (13, 0))


@pytest.mark.parametrize("found", [NEW, COMPATIBLE])
def test_the_driver_is_logged_once_before_an_encoder_is_loaded(
    found: tuple[str, int], install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(*found)
    with caplog.at_level(logging.INFO, "encoders.driver"):
        assert {pick_device("cuda").type for _ in range(2)} == {"cuda"}

    sentence = f"This machine has the GPU driver {found[0]} for CUDA 13.0; torch {torch.__version__} needs CUDA 13.0."
    assert [record.getMessage() for record in caplog.records] == [sentence]


def test_a_driver_that_is_too_old_stops_a_worker_with_what_there_is_and_what_helps(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(*OLD, visible=False)

    with pytest.raises(UserError) as raised:
        load(lookup("minilm@1.0.0"), "cuda")

    assert str(raised.value).startswith("This machine has the GPU driver 525.105.17 for CUDA 12.0, but torch ")
    assert "needs CUDA 13.0, thus a driver from 580 on: on Dataflow, request it with install-" in str(raised.value)
    assert [record.getMessage() for record in caplog.records] == [str(raised.value)]


def test_the_same_driver_is_new_enough_for_a_torch_of_an_earlier_cuda(install: Install) -> None:
    install(*OLD, needed="12.6")

    assert pick_device("cuda").type == "cuda"


@pytest.mark.parametrize(
    ("found", "clause"),
    [
        ((), "no GPU driver."),
        (("580.95.05",), "the GPU driver 580.95.05 without libcuda.so.1."),
        (("", 13_000), "the GPU driver of an unknown version for CUDA 13.0."),
    ],
)
def test_a_machine_on_which_torch_finds_no_gpu_says_what_it_has(
    found: tuple[str, int], clause: str, install: Install
) -> None:
    install(*found, visible=False)

    with pytest.raises(UserError, match="torch finds no CUDA device on this machine: use cpu or auto") as raised:
        pick_device("cuda")

    assert str(raised.value).endswith(f"it has {clause}")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_a_real_driver_is_found_and_new_enough() -> None:
    found = driver.find_driver()

    assert found.module
    assert found.cuda
    assert not driver.is_too_old(found)
