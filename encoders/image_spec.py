"""`ImageSpec`: what decides the vector of a picture."""

import base64
import binascii
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from encoders.spec import EncoderSpec, Files, Probe, Weights
from rawless.config import FrozenModel

Architecture = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
_PROBE = Path(__file__).parent / "probe.jpg"
"""A small JPEG with an orientation, colours and edges: what decoders and resizing differ in."""
_SEEDED = "model.safetensors"
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ImageWeights(Weights):
    """One checkpoint: torchvision's own, a file, an object, or drawn from a seed."""

    source: str = Field(pattern=r"^(torchvision:\w+\.\w+|path:.+|gs://[a-z0-9][^?#]*|seed:(0|[1-9][0-9]{0,8}))$")
    """`torchvision:ResNet50_Weights.IMAGENET1K_V2`; the folder or `gs://` prefix that holds the file; `seed:18`."""

    @field_validator("files")
    @classmethod
    def _one_checkpoint(cls, files: Files) -> Files:
        if len(files) != 1 or not next(iter(files)).endswith((".pth", ".safetensors")):
            raise ValueError("name exactly one file, ending in .safetensors or .pth (which is read as weights only)")
        return files

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if self.source.startswith("gs://") and None in self.files.values():
            raise ValueError("a file that is fetched needs its sha256")
        if self.source.startswith("seed:") and set(self.files) != {_SEEDED}:
            raise ValueError(f"weights drawn from a seed are named {_SEEDED}")
        return self

    @property
    def file(self) -> str:
        """The name of the checkpoint."""
        return next(iter(self.files))


class ImagePreprocessing(FrozenModel):
    """From the bytes of a file to the pixels that the model sees.

    Fixed, and so part of what the fields below mean: pictures are decoded by Pillow; of animations the first frame
    counts; CMYK and greyscale become RGB by Pillow's conversion; of 16 bits a channel the upper 8 count; ICC
    profiles are ignored.
    """

    exif_orientation: Literal["apply", "ignore"]
    alpha: Literal["white", "black", "drop"]
    """What transparent pixels are laid over; `drop` keeps the colours that they hide."""
    resize: int = Field(ge=1, le=4096)
    """Pixels of the shorter side; the longer keeps the picture's shape."""
    interpolation: Literal["nearest", "bilinear", "bicubic"]
    antialias: bool
    """True resizes as Pillow does, false as torch does on tensors without antialiasing."""
    crop: int = Field(ge=1, le=4096)
    """Pixels of the side of the square that is cut from the middle."""
    mean: tuple[Finite, Finite, Finite]
    std: tuple[Finite, Finite, Finite]
    """Of red, green and blue, on a scale from 0 to 1."""

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop is {self.crop}, but may be at most resize, {self.resize}")
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


class ImageSpec(EncoderSpec):
    """A torchvision ResNet, read at any layer."""

    modality: Literal["image"]
    architecture: Architecture
    weights: ImageWeights
    preprocessing: ImagePreprocessing
    layer: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")
    """A node of the model's graph: layer4, avgpool, layer3.5.conv2, fc."""
    pooling: Literal["average", "max", "flatten"]
    """Over height and width of the layer's output; `flatten` keeps every place, row by row for each channel."""

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        named = re.match(r"torchvision:(\w+)_Weights\.", self.weights.source)
        if self.weights.source.startswith("torchvision:") and (named is None or named[1].lower() != self.architecture):
            raise ValueError(f"{self.weights.source} is not of the architecture {self.architecture}")
        if self.layer == "x":
            raise ValueError("the layer x is the picture itself; name one that the model computes")
        return self

    @field_validator("probe")
    @classmethod
    def _probe_is_a_file(cls, probe: Probe | None) -> Probe | None:
        if probe is not None:
            try:
                cls.content_of(probe.input)
            except binascii.Error:
                raise ValueError("probe.input must be a file in base64") from None
        return probe

    @staticmethod
    def built_in_probe() -> str:
        """See `EncoderSpec.built_in_probe`."""
        return base64.b64encode(_PROBE.read_bytes()).decode()

    @staticmethod
    def content_of(probe_input: str) -> bytes:
        """See `EncoderSpec.content_of`."""
        return base64.b64decode(probe_input, validate=True)
