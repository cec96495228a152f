"""OpenVINO: the fastest of what was measured on a CPU, in fp32."""

import sys
import warnings

import torch

from encoders.runtimes import Inputs
from encoders.spec import Vector

_OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
"""Full precision, which is else bf16 where a CPU has it; and all cores for one batch."""


class OpenVino:
    """Runs a network compiled for this CPU, for batches of any size and texts of any length."""

    def __init__(self, network: torch.nn.Module, example: Inputs) -> None:
        # It reports every conversion to its makers over the network, unless this package is missing.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        import openvino

        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a trace may not hold for other shapes: that is tried afterwards
            model = openvino.convert_model(network, example_input=example)
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]} on CPU"
        self._compiled = openvino.compile_model(model, "CPU", _OPTIONS)

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """See `Runtime`. One call at a time."""
        vectors: Vector = self._compiled([each.numpy() for each in inputs])[0]  # a copy, of inputs that are not
        return vectors
