"""`ImageSpec`: the fields that the specs of all image encoders have."""

import base64
import binascii
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from encoders.spec import Added, EncoderSpec, Files, Probe, Weights
from rawless.config import FrozenModel

_PROBE = Path(__file__).parent / "probe.jpg"
"""A small JPEG with an orientation, colours and edges, for which decoders and resizing methods differ."""
_SEEDED = "model.safetensors"
Finite = Annotated[float, Field(allow_inf_nan=False)]


class CheckpointWeights(Weights):
    """One checkpoint: published by torchvision, in a folder, in object storage, or drawn from a seed."""

    source: str = Field(pattern=r"^(torchvision:\w+\.\w+|path:.+|gs://[a-z0-9][^?#]*|seed:(0|[1-9][0-9]{0,8}))$")
    """`torchvision:ResNet50_Weights.IMAGENET1K_V2`; the folder or `gs://` prefix of the file; `seed:18`."""

    @field_validator("files")
    @classmethod
    def _is_one_checkpoint(cls, files: Files) -> Files:
        if len(files) != 1 or not next(iter(files)).endswith((".pth", ".safetensors")):
            raise ValueError("name exactly one file, ending in .safetensors or .pth (which is read as weights only)")
        return files

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if self.source.startswith("gs://") and None in self.files.values():
            raise ValueError("a file that is downloaded needs its sha256")
        if self.source.startswith("seed:") and set(self.files) != {_SEEDED}:
            raise ValueError(f"weights drawn from a seed are named {_SEEDED}")
        return self

    @property
    def file(self) -> str:
        """The name of the checkpoint."""
        return next(iter(self.files))


class ImagePreprocessing(FrozenModel):
    """From the bytes of a file to the pixels that the network takes.

    Rules without a field are part of the meaning of the fields: of an animation the
    first frame is used; CMYK and greyscale are converted to RGB by Pillow; of 16 bits a channel the upper 8 are used;
    ICC profiles are ignored.
    """

    decoder: Annotated[Literal["pillow", "pillow_draft", "nvjpeg"], Added()] = "pillow"
    """Of JPEGs; Pillow decodes all other formats.

    `pillow_draft` decodes at 1/2, 1/4 or 1/8 of the size, not smaller than the resized image. `nvjpeg` needs CUDA, and
    resizes its pixels there as torch does.
    """
    exif_orientation: Literal["apply", "ignore"]
    """The orientation that EXIF states, else XMP."""
    alpha: Literal["white", "black", "drop"]
    """The background of transparent pixels; `drop` keeps the colours that they hide."""
    fit: Annotated[Literal["shorter", "exact"], Added()] = "shorter"
    """Whether the shorter side becomes `resize` and the aspect ratio is kept, or both sides become it."""
    resize: int = Field(ge=1, le=4096)
    """Pixels of the shorter side, or of both."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"]
    antialias: bool
    """True resizes as Pillow does, false as torch does on tensors without antialiasing."""
    crop: int = Field(ge=1, le=4096)
    """Pixels of the side of the square that is cut from the centre."""
    crop_rounding: Annotated[Literal["half_even", "down"], Added()] = "half_even"
    """How half of an odd margin is rounded: as torchvision does, or down, as Hugging Face's image processors do."""
    mean: tuple[Finite, Finite, Finite]
    std: tuple[Finite, Finite, Finite]
    """The standard deviation of red, green and blue, like the mean on a scale from 0 to 1."""

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop is {self.crop}, but may be at most resize, {self.resize}")
        if self.decoder == "nvjpeg" and self.interpolation not in ("nearest", "bilinear", "bicubic"):
            raise ValueError(f"decoder is nvjpeg, which cannot resize by {self.interpolation}: use bicubic")
        if self.interpolation == "lanczos" and not self.antialias:
            raise ValueError("interpolation lanczos needs antialias: true")
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


class ImageSpec(EncoderSpec):
    """The spec of an encoder of image files."""

    modality: Literal["image"]
    preprocessing: ImagePreprocessing

    @field_validator("probe")
    @classmethod
    def _probe_is_a_file(cls, probe: Probe | None) -> Probe | None:
        if probe is not None:
            try:
                cls.content_of(probe.input)
            except binascii.Error:
                raise ValueError("probe.input must be a file in base64") from None
        return probe

    @property
    def needs_cuda(self) -> bool:
        """See `EncoderSpec.needs_cuda`."""
        return self.preprocessing.decoder == "nvjpeg"

    @staticmethod
    def built_in_probe() -> str:
        """See `EncoderSpec.built_in_probe`."""
        return base64.b64encode(_PROBE.read_bytes()).decode()

    @staticmethod
    def content_of(probe_input: str) -> bytes:
        """See `EncoderSpec.content_of`."""
        return base64.b64decode(probe_input, validate=True)
