"""The workloads of the benchmarks: encoders, and real photographs and texts for them."""

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from encoders.catalogue import lookup
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.demo.texts import texts
from rawless.events.stream import IdPattern, Stream
from rawless.local import home, stack

_MEDIAN_WORDS = 2.7
"""Natural logarithm of the median number of words in a text: most are short, some are longer than the encoder reads."""


@dataclass(frozen=True)
class Work:
    """An encoder and payloads for it."""

    label: str
    spec: EncoderSpec
    payloads: Sequence[bytes]

    @property
    def stream(self) -> Stream:
        """A stream of events with these payloads."""
        name = f"bench_{self.label}"
        return Stream(
            stream=name, modality=self.spec.modality, encoders=(self.spec.ref,), event_id=IdPattern(pattern=r"e-\d+")
        )

    def first(self, count: int) -> "Work":
        """Return the same workload with the first `count` payloads only."""
        return Work(self.label, self.spec, self.payloads[:count])


@contextmanager
def temporary_home() -> Iterator[None]:
    """Use a separate local stack, which is removed afterwards, so that the rows of other runs do not slow it down."""
    before = os.environ.get(home.HOME_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[home.HOME_VARIABLE] = folder
        try:
            yield
        finally:
            stack.down(Path(folder))
            os.environ.pop(home.HOME_VARIABLE)
            if before is not None:
                os.environ[home.HOME_VARIABLE] = before


def resnet18(count: int) -> Work:
    """ResNet-18 at 224 pixels with weights drawn from a seed, which are as fast as trained ones."""
    return Work("resnet18", lookup("resnet18-seeded@1.0.0"), photographs(count))


def resnet50(count: int) -> Work:
    """ResNet-50 at 224 pixels with seeded weights. It is L2-normalised, because untrained vectors can be very large."""
    seeded, plain = lookup("resnet18-seeded@1.0.0"), lookup("resnet50@1.0.0")
    fields = plain.model_dump() | {"name": "resnet50-seeded", "l2_normalise": True, "tolerance": 1e-5, "probe": None}
    fields["weights"] = seeded.weights.model_dump() | {"source": "seed:50", "files": {"model.safetensors": None}}
    return Work("resnet50", seal(TorchvisionSpec.model_validate(fields)), photographs(count))


def minilm(count: int) -> Work:
    """MiniLM, on texts of mixed lengths."""
    return Work("minilm", lookup("minilm@1.0.0"), messages(count))


def photographs(count: int) -> list[bytes]:
    """Return JPEGs of 640 by 480 pixels, crops of two real photographs."""
    from sklearn.datasets import load_sample_images

    rng = random.Random(1)  # noqa: S311
    originals = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    return [_crop(originals[number % len(originals)], rng) for number in range(count)]


def _crop(original: Image.Image, rng: random.Random) -> bytes:
    width, height = rng.randint(480, original.width), rng.randint(360, original.height)
    left, top = rng.randint(0, original.width - width), rng.randint(0, original.height - height)
    file = BytesIO()
    crop = original.crop((left, top, left + width, top + height)).resize((640, 480), Image.Resampling.LANCZOS)
    crop.save(file, "JPEG", quality=90)
    return file.getvalue()


def messages(count: int) -> list[bytes]:
    """Return texts of real words, from one word to several hundred."""
    rng = random.Random(1)  # noqa: S311
    words = " ".join(text for kind in texts().values() for text in kind).split()
    return [_message(words, rng) for _ in range(count)]


def _message(words: list[str], rng: random.Random) -> bytes:
    count = min(400, 1 + int(rng.lognormvariate(_MEDIAN_WORDS, 0.9)))
    start = rng.randrange(len(words) - count)
    return " ".join(words[start : start + count]).encode()
