"""`make bench-gpu` measures on a CUDA device only, and the page never shows what was not measured."""

import json

import pytest
import torch

from benchmarks import gpu
from benchmarks.report import RESULTS


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_cuda_nothing_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    before = (RESULTS / "gpu.json").read_text()

    with pytest.raises(SystemExit) as left:
        gpu.main()

    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "torch finds no CUDA device on this machine, so nothing was measured: run it on one with a GPU.\n"
    )
    assert (RESULTS / "gpu.json").read_text() == before


def test_the_page_names_the_card_or_says_that_nothing_was_measured() -> None:
    stored, page = json.loads((RESULTS / "gpu.json").read_text()), (RESULTS / "gpu.md").read_text()

    if stored["figures"]:
        assert "no GPU" not in stored["machine"]
        assert page.startswith(f"{stored['machine']}.")
    else:
        assert page.startswith("Not measured:")
        assert "|" not in page


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_an_encoder_is_measured_on_the_device() -> None:
    contender = next(gpu.contenders(images=64, texts=64))

    figures = gpu.measure_encoder(contender, "fp16", torch.device("cuda"))

    assert {"fp16, model alone", "fp16, encoder", "fp16, memory of the device"} <= {each.what for each in figures}
