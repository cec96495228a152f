"""Decoding a photograph of 12 megapixels: the decoders that a spec may name on a CPU."""

from io import BytesIO

from PIL import Image

from benchmarks.figures import Figure, Side, figure, ratios, rounds, seconds
from encoders.catalogue import lookup
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.image_model import prepare
from rawless.content import ImageLimits

SIZE = (4032, 3024)
"""Of a phone's photograph."""


def measure(count: int) -> list[Figure]:
    """Milliseconds until the pixels for a ResNet are there, by decoder, and the ratio."""
    content = photograph()
    times = rounds({decoder: _side(content, decoder) for decoder in ("pillow", "pillow_draft")}, count)
    of = "12 megapixels"
    return [
        *(figure("decoding", of, name, [1e3 * each for each in values], "ms") for name, values in times.items()),
        figure("decoding", of, "pillow / pillow_draft", ratios(*times.values()), "ratio", ">= 3"),
    ]


def photograph() -> bytes:
    """Return a real photograph, enlarged, as a JPEG."""
    from sklearn.datasets import load_sample_images

    file = BytesIO()
    original = Image.fromarray(load_sample_images().images[0])
    original.resize(SIZE, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return file.getvalue()


def _side(content: bytes, decoder: str) -> Side:
    spec = lookup("resnet18-seeded@1.0.0")
    assert isinstance(spec, TorchvisionSpec)  # noqa: S101 - a ResNet of the catalogue
    preprocessing = spec.preprocessing.model_copy(update={"decoder": decoder})
    return lambda: seconds(lambda: prepare(content, preprocessing, ImageLimits()))
