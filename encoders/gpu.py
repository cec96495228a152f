"""What the GPUs of this process do: memory by CUDA itself, and use by NVML where the driver has it."""

import torch

from rawless.metering import table as metrics


class Gpu:
    """A GPU that encoders of this process run on."""

    def __init__(self, index: int) -> None:
        self._index = index
        number = str(index)
        metrics.GPU_MEMORY_TOTAL.watch(self, lambda gpu: gpu.memory()[1], number)
        metrics.GPU_MEMORY_USED.watch(self, lambda gpu: gpu.memory()[1] - gpu.memory()[0], number)
        metrics.GPU_MEMORY_TORCH.watch(self, lambda gpu: torch.cuda.memory_allocated(gpu._index), number)
        metrics.GPU_USE.watch(self, Gpu.use, number)

    def memory(self) -> tuple[int, int]:
        """Return the free and the whole memory in bytes."""
        free, total = torch.cuda.mem_get_info(self._index)
        return free, total

    def use(self) -> float:
        """Return the share of the last period, at most a second, in which the GPU computed. Raises without NVML."""
        return torch.cuda.utilization(self._index) / 100


_watched: dict[int, Gpu] = {}


def watch_gpu(device: torch.device) -> None:
    """Measure the GPU of a device from now on, once for each process. Does nothing for the CPU."""
    if device.type != "cuda":
        return
    index = torch.cuda.current_device() if device.index is None else device.index
    if index not in _watched:
        _watched[index] = Gpu(index)
