"""Opening graphs in ONNX Runtime."""

from typing import Any


def open_session(graph: bytes) -> Any:
    """Return an `onnxruntime.InferenceSession` on one thread, since more threads slow small graphs down.

    Raises the exceptions of ONNX Runtime, which have no base class of their own.
    """
    import onnxruntime  # here, since importing it takes long and the trial checks a graph first

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
