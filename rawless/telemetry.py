"""The opt-outs from libraries that report their use to their vendors, in effect before any of them is imported."""

import os
import sys

VARIABLES = {
    "DO_NOT_TRACK": "1",  # several tools
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, transformers
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime: sends models' names and hashes, errors and paths, and stores a queue
}
"""What each process, and each that it starts, has in its environment."""


def opt_out() -> None:
    """Opt out of the telemetry of all libraries, whatever the environment says. Call it before they are imported."""
    os.environ.update(VARIABLES)
    # OpenVINO reports every conversion, unless this package is missing; it has no variable.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
