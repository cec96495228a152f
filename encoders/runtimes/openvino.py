"""OpenVINO in fp32, the fastest runtime that was measured on a CPU."""

import warnings

import openvino
import torch

from encoders.family import Inputs
from encoders.spec import Vector

_OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
"""Use full precision, because the default is bf16 on CPUs that support it, and use all cores for one batch."""


def convert(network: torch.nn.Module, example: Inputs) -> openvino.Model:
    """Return a network in the form of OpenVINO. Raises errors of many types for one that it cannot convert."""
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a trace may not hold for other shapes: `pick_runtime` compares them
        return openvino.convert_model(network, example_input=example)


class OpenVino:
    """Runs a network compiled for this CPU, for batches of any size and texts of any length."""

    def __init__(self, model: openvino.Model) -> None:
        """`model` is a network that `convert` converted."""
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]} on CPU"
        self._compiled = openvino.compile_model(model, "CPU", _OPTIONS)

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """See `Runtime`. Not thread-safe."""
        vectors: Vector = self._compiled([tensor.numpy() for tensor in inputs])[0]  # outputs are copied, inputs are not
        return vectors
