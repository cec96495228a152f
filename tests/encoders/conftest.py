"""A tiny seeded BERT and small seeded ResNets on disk, for tests without real weights."""

import gc
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from encoders.batch_encoder import BatchEncoder
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.load import build
from encoders.seal import seal
from encoders.spec import EncoderSpec

PREPROCESSING: dict[str, Any] = {
    "exif_orientation": "apply",
    "alpha": "white",
    "resize": 72,
    "interpolation": "bilinear",
    "antialias": True,
    "crop": 64,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


@pytest.fixture(autouse=True, scope="module")
def _collected() -> Iterator[None]:
    """Networks that tests loaded are full of cycles, and few objects of much memory: the collector would come late."""
    yield
    gc.collect()


@pytest.fixture
def tiny_copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny encoder's files in a folder that the test may modify."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


@pytest.fixture
def tiny_encoder(tiny_sealed: EncoderSpec) -> BatchEncoder[Any]:
    """A tiny encoder that the test may modify."""
    return build(tiny_sealed, torch.device("cpu"))


@lru_cache(maxsize=2)
def drawn(architecture: str) -> torch.nn.Module:
    """Return a ResNet of ten classes whose tensors all differ from their initial values; do not modify it."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model: torch.nn.Module = getattr(torchvision.models, architecture)(num_classes=10)
        for name, tensor in model.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.normal_(std=0.1)
            elif tensor.dim() == 1:  # of batch normalisation; small, or the values of deep networks explode
                tensor.uniform_(0.3, 0.6)
    return model.eval()


@pytest.fixture(scope="session")
def plain_resnet() -> Callable[[str], Any]:
    """The plain torchvision model of an architecture, its weights drawn from a fixed seed, in evaluation mode."""
    return drawn


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """A folder with the weights of the plain model in model.safetensors; do not modify them."""
    root = tmp_path_factory.mktemp("checkpoints")

    def folder(architecture: str) -> Path:
        path = root / architecture
        if not path.exists():
            path.mkdir()
            save_file(drawn(architecture).state_dict(), path / "model.safetensors")
        return path

    yield folder
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def image_spec(checkpoint: Callable[[str], Path]) -> Callable[..., TorchvisionSpec]:
    """Makes unsealed specs of a ResNet-18 on small images; arguments replace fields, nested ones in part."""

    def make(folder: Path | None = None, file: str = "model.safetensors", **fields: Any) -> TorchvisionSpec:
        architecture = fields.get("architecture", "resnet18")
        source = fields.pop("source", None) or f"path:{folder or checkpoint(architecture)}"
        whole: dict[str, Any] = {
            "name": "small",
            "version": "1.0.0",
            "modality": "image",
            "architecture": architecture,
            "weights": {"source": source, "files": {file: None}},
            "preprocessing": PREPROCESSING | fields.pop("preprocessing", {}),
            "layer": "layer4",
            "pooling": "average",
            "l2_normalise": False,
            "dimension": 512,
            "tolerance": 1e-4,
            "training_domain": "nothing: its weights are drawn from a seed",
        }
        return TorchvisionSpec.model_validate(whole | fields)

    return make


@pytest.fixture(scope="session")
def image_sealed(image_spec: Callable[..., TorchvisionSpec]) -> TorchvisionSpec:
    """The small image encoder's spec, sealed."""
    return seal(image_spec())


@pytest.fixture
def image_encoder(image_sealed: TorchvisionSpec) -> BatchEncoder[Any]:
    """A small image encoder that the test may modify."""
    return build(image_sealed, torch.device("cpu"))


@pytest.fixture(scope="session")
def make_image() -> Callable[..., Image.Image]:
    """Makes RGB images of random pixels, the same ones for the same arguments."""

    def make(width: int, height: int, seed: int = 0) -> Image.Image:
        pixels = np.random.default_rng((seed, width, height)).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    return make


@pytest.fixture
def no_weights_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder with empty caches of torch and Rawless."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RAWLESS_HUB", raising=False)
    return tmp_path
