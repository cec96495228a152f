"""A GPU is measured where an encoder runs on one, as far as its libraries can tell."""

import pytest
import torch

from encoders import gpu
from rawless.metering.metric import registry
from tests.measured import measured


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch would say of a machine's second GPU, with NVML."""
    monkeypatch.setattr(gpu, "_watched", {})
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (6_000 + index, 8_001))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda index: 500 * index)
    monkeypatch.setattr(torch.cuda, "utilization", lambda index: 40 + index)


@pytest.mark.usefixtures("cuda")
def test_memory_and_use_of_the_gpu_are_exposed() -> None:
    gpu.watch_gpu(torch.device("cuda"))
    gpu.watch_gpu(torch.device("cuda", 1))

    names = ("memory_total_bytes", "memory_used_bytes", "memory_torch_bytes", "use_ratio")
    assert [measured(f"rawless_gpu_{name}", gpu="1") for name in names] == [8_001, 2_000, 500, 0.41]


@pytest.mark.usefixtures("cuda")
def test_without_nvml_memory_is_exposed_and_use_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(index: int) -> int:
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed or it can't be imported.")

    monkeypatch.setattr(torch.cuda, "utilization", missing)
    gpu.watch_gpu(torch.device("cuda"))

    assert measured("rawless_gpu_memory_total_bytes", gpu="1") == 8_001
    assert registry.get_sample_value("rawless_gpu_use_ratio", {"gpu": "1"}) is None


def test_a_cpu_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_watched", {})
    gpu.watch_gpu(torch.device("cpu"))
    assert gpu._watched == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_a_real_gpu_is_measured() -> None:
    gpu.watch_gpu(torch.device("cuda", 0))
    held = torch.zeros(1_000_000, device="cuda:0")

    assert measured("rawless_gpu_memory_total_bytes", gpu="0") > 1e9
    assert measured("rawless_gpu_memory_used_bytes", gpu="0") >= measured("rawless_gpu_memory_torch_bytes", gpu="0")
    assert measured("rawless_gpu_memory_torch_bytes", gpu="0") >= held.nbytes
