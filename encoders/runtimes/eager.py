"""The reference runtime: torch without compilation, on the CPU and on CUDA."""

import torch

from encoders.precision import Precision
from encoders.runtimes.arithmetic import compute_in
from encoders.spec import Vector


class Eager:
    """Runs a network operation by operation."""

    def __init__(self, network: torch.nn.Module, device: torch.device, precision: Precision = "fp32") -> None:
        self.name = f"torch {torch.__version__} on {device.type.upper()}"
        self.device = device
        self.precision = precision
        self.network = network.to(device)

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """See `Runtime`."""
        with torch.inference_mode():
            moved = [tensor.to(self.device, non_blocking=True) for tensor in inputs]
            with compute_in(self.precision, self.device):
                vectors = self.network(*moved)
            as_numpy: Vector = vectors.float().cpu().numpy()
            return as_numpy
