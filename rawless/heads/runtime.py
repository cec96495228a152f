"""ONNX Runtime as heads are asked by it: on one thread, since more cost a small graph more than they bring."""

from typing import Any


def open_session(graph: bytes) -> Any:
    """An `onnxruntime.InferenceSession`. Raises what ONNX Runtime raises, which has no base class of its own."""
    import onnxruntime  # late: whoever only tries a graph wants to start fast

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
