"""Compare ingest with other libraries for embeddings, each in an environment of its own, on the same items.

Their packages are not in the lock: `environment` installs them once, into a cache folder.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from safetensors.torch import save_file

from benchmarks import throughput
from benchmarks.environment import python
from benchmarks.figures import Figure, Side, figure, ratios, rounds
from benchmarks.work import Work, minilm, resnet50
from encoders import checkpoint, weights

_FOLDER = Path(__file__).parent
_INGEST = "ingest, lines"
_TEXT_PEERS = {
    "sentence-transformers on torch": ("sentence_transformers", "torch"),
    "sentence-transformers on ONNX Runtime": ("sentence_transformers", "onnx"),
    "sentence-transformers on OpenVINO": ("sentence_transformers", "openvino-fp32"),
    "sentence-transformers on OpenVINO, bf16 if the CPU has it": ("sentence_transformers", "openvino"),
    "infinity": ("infinity", "infinity"),
}
_IMAGE_PEERS = {"timm": ("sentence_transformers", "timm")}
"""The lock and the argument of the peer's process, by its name in tables."""
_REQUIRED = {"sentence-transformers on OpenVINO": ">= 1.2"}


def measure(count: int) -> list[Figure]:
    """Items per second of ingest and of each peer, and their ratios."""
    return [*_measure(minilm(1_000), _TEXT_PEERS, count), *_measure(resnet50(100), _IMAGE_PEERS, count)]


def _measure(work: Work, peers: dict[str, tuple[str, str]], count: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        model, items = _model(work, folder), _items(work, folder)
        sides: dict[str, Side] = {
            peer: stack.enter_context(_running(python(_FOLDER / f"{requirements}.lock"), backend, model, items))
            for peer, (requirements, backend) in peers.items()
        }
        sides |= throughput.ingest_lines(work, folder)
        times = rounds(sides, count)
    steady = {side: throughput.steady_state(side, times, work) for side in (_INGEST, *peers)}
    speeds = [
        figure("peers", work.label, side, [len(work.payloads) / duration for duration in values], "a second")
        for side, values in steady.items()
    ]
    compared = [
        figure("peers", work.label, f"ingest / {peer}", ratios(steady[peer], steady[_INGEST]), "ratio", must)
        for peer, must in ((peer, _REQUIRED.get(peer, "")) for peer in peers)
    ]
    return speeds + compared


def _model(work: Work, folder: Path) -> Path:
    """Return a copy of the model that a peer may write beside: a folder for texts, a checkpoint for images."""
    if work.spec.modality == "text":
        return Path(shutil.copytree(weights.find(work.spec), folder / "model"))
    save_file(checkpoint.read(work.spec), folder / "model.safetensors")
    return folder / "model.safetensors"


def _items(work: Work, folder: Path) -> Path:
    """Return a file of the items: the texts, or the paths of the image files."""
    items = [payload.decode() for payload in work.payloads] if work.spec.modality == "text" else []
    for number, payload in enumerate(work.payloads if work.spec.modality == "image" else ()):
        (folder / f"{number}.jpg").write_bytes(payload)
        items.append(str(folder / f"{number}.jpg"))
    (folder / "items.json").write_text(json.dumps(items))
    return folder / "items.json"


@contextmanager
def _running(interpreter: Path, backend: str, model: Path, items: Path) -> Iterator[Side]:
    """Start a peer's process with its model, and give the side that lets it encode all items once."""
    command = [str(part) for part in (interpreter, _FOLDER / "process.py", backend, model, items)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:

        def once() -> float:
            assert process.stdin is not None  # noqa: S101 - both are pipes
            assert process.stdout is not None  # noqa: S101
            process.stdin.write("run\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise SystemExit(f"The benchmark is invalid: the peer {backend} ended.")
            return float(answer)

        yield once
        process.terminate()
