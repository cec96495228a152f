"""The process of one peer: for each line of standard input it encodes all items, and answers with the seconds.

Run as `process.py BACKEND MODEL ITEMS` in the environment of the peer. Each is used as its documentation says.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BATCH = 32


def sentence_transformers(backend: str, model: str, texts: list[str]) -> Callable[[], object]:
    """Return the encoding of texts by sentence-transformers on one of its backends, as in `openvino-fp32`."""
    from sentence_transformers import SentenceTransformer

    name, _, precision = backend.partition("-")
    # By default OpenVINO computes in bf16 where the CPU can, which gives other vectors.
    options: dict[str, Any] = {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}} if precision else {}
    loaded: Any = SentenceTransformer(model, device="cpu", backend=name, model_kwargs=options)  # type: ignore[arg-type]
    return lambda: loaded.encode(texts, batch_size=_BATCH, show_progress_bar=False)


def infinity(model: str, texts: list[str]) -> Callable[[], object]:
    """Return the encoding of texts by infinity's engine, which is given all of them at once."""
    from infinity_emb import AsyncEmbeddingEngine, EngineArgs  # type: ignore[import-not-found]

    options = {"engine": "torch", "device": "cpu", "batch_size": _BATCH, "bettertransformer": False}
    engine = AsyncEmbeddingEngine.from_args(EngineArgs(model_name_or_path=model, model_warmup=False, **options))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(engine.astart())
    return lambda: loop.run_until_complete(engine.embed(texts))


def timm(model: str, paths: list[str]) -> Callable[[], object]:
    """Return the encoding of image files by timm's ResNet-50 in batches, with the transforms of its configuration."""
    import timm  # type: ignore[import-not-found]
    import torch
    from PIL import Image
    from safetensors.torch import load_file

    network = timm.create_model("resnet50", pretrained=False)
    network.load_state_dict(load_file(model))
    network.reset_classifier(0)
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=network.eval()))

    def encode(batch: list[str]) -> Any:
        pixels = torch.stack([transform(Image.open(path).convert("RGB")) for path in batch])
        with torch.inference_mode():
            return network(pixels).numpy()

    return lambda: [encode(paths[at : at + _BATCH]) for at in range(0, len(paths), _BATCH)]


def main(backend: str, model: str, items: str) -> None:
    """Load the peer, then encode for each line."""
    contents: list[str] = json.loads(Path(items).read_text())
    peers: dict[str, Callable[[], Callable[[], object]]] = {
        "infinity": lambda: infinity(model, contents),
        "timm": lambda: timm(model, contents),
    }
    load = peers.get(backend, lambda: sentence_transformers(backend, model, contents))
    answers, sys.stdout = sys.stdout, sys.stderr  # some peers print
    encode = load()
    for _ in sys.stdin:
        started = time.perf_counter()
        encode()
        print(time.perf_counter() - started, file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
