"""What is encoded, and by what: real photographs and texts of mixed lengths."""

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
from encoders.families.torchvision_resnet import ResNetSpec
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.demo.texts import texts
from rawless.events.stream import Stream
from rawless.local import home, stack

_MEDIAN_WORDS = 2.7
"""Natural logarithm of the median count of words a text: most are short, as messages are, and some are cut off."""


@dataclass(frozen=True)
class Work:
    """Payloads for one encoder."""

    label: str
    spec: EncoderSpec
    payloads: Sequence[bytes]

    @property
    def stream(self) -> Stream:
        """A stream of such events."""
        name = f"bench_{self.label}"
        return Stream(stream=name, modality=self.spec.modality, encoders=(self.spec.ref,))

    def first(self, count: int) -> "Work":
        """The same with fewer payloads."""
        return Work(self.label, self.spec, self.payloads[:count])


@contextmanager
def own_home() -> Iterator[None]:
    """A local stack of its own, which is gone afterwards: rows of other runs would slow it, and ours would stay."""
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
    """ResNet-18 at 224 pixels, its weights drawn from a seed: they cost what trained ones cost."""
    return Work("resnet18", lookup("resnet18-seeded@1.0.0"), photographs(count))


def resnet50(count: int) -> Work:
    """ResNet-50 at 224 pixels, likewise. Its vectors have length one, since untrained ones grow without bounds."""
    seeded, plain = lookup("resnet18-seeded@1.0.0"), lookup("resnet50@1.0.0")
    fields = plain.model_dump() | {"name": "resnet50-seeded", "l2_normalise": True, "tolerance": 1e-5, "probe": None}
    fields["weights"] = seeded.weights.model_dump() | {"source": "seed:50", "files": {"model.safetensors": None}}
    return Work("resnet50", seal(ResNetSpec.model_validate(fields)), photographs(count))


def minilm(count: int) -> Work:
    """MiniLM, on texts of mixed lengths."""
    return Work("minilm", lookup("minilm@1.0.0"), messages(count))


def photographs(count: int) -> list[bytes]:
    """JPEGs of 640 by 480 pixels, cut from two real photographs at different places."""
    from sklearn.datasets import load_sample_images

    choose = random.Random(1)  # noqa: S311
    originals = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    return [_cut(originals[number % len(originals)], choose) for number in range(count)]


def _cut(original: Image.Image, choose: random.Random) -> bytes:
    width, height = choose.randint(480, original.width), choose.randint(360, original.height)
    left, top = choose.randint(0, original.width - width), choose.randint(0, original.height - height)
    file = BytesIO()
    cut = original.crop((left, top, left + width, top + height)).resize((640, 480), Image.Resampling.LANCZOS)
    cut.save(file, "JPEG", quality=90)
    return file.getvalue()


def messages(count: int) -> list[bytes]:
    """Texts of real words, from one word to some hundreds."""
    choose = random.Random(1)  # noqa: S311
    words = " ".join(text for kind in texts().values() for text in kind).split()
    return [_message(words, choose) for _ in range(count)]


def _message(words: list[str], choose: random.Random) -> bytes:
    count = min(400, 1 + int(choose.lognormvariate(_MEDIAN_WORDS, 0.9)))
    start = choose.randrange(len(words) - count)
    return " ".join(words[start : start + count]).encode()
