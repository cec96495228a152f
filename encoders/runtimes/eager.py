"""The reference runtime: torch without compilation, on the CPU and on CUDA."""

import torch

from encoders.spec import Vector


class Eager:
    """Runs a network operation by operation, in the network's precision."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self.name = f"torch {torch.__version__} on {device.type.upper()}"
        self.device = device
        self.network = network.to(device)

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """See `Runtime`."""
        with torch.inference_mode():
            moved = [tensor.to(self.device, non_blocking=True) for tensor in inputs]
            vectors: Vector = self.network(*moved).float().cpu().numpy()
            return vectors
