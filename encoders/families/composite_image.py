"""Composites of image encoders: layers of one model, or several models, whose vectors are concatenated."""

import binascii
from typing import Any, Literal

from pydantic import field_validator

from encoders.composite import ARCHITECTURE, CompositeSpec
from encoders.family import Family, Model
from encoders.image_spec import ImageSpec
from encoders.spec import Probe


class CompositeImageSpec(CompositeSpec):
    """The spec of a composite of image encoders."""

    modality: Literal["image"]

    @field_validator("probe")
    @classmethod
    def _probe_is_a_file(cls, probe: Probe | None) -> Probe | None:
        try:
            cls.content_of(probe.input if probe else "")
        except binascii.Error:
            raise ValueError("probe.input must be a file in base64") from None
        return probe

    @staticmethod
    def built_in_probe() -> str:
        """See `EncoderSpec.built_in_probe`."""
        return ImageSpec.built_in_probe()

    @staticmethod
    def content_of(probe_input: str) -> bytes:
        """See `EncoderSpec.content_of`."""
        return ImageSpec.content_of(probe_input)


def load_model(spec: CompositeImageSpec, *, cuda: bool) -> Model[Any]:
    """Return the model of a spec. Raises UserError as the families of its parts do."""
    from encoders.composite_model import load_composite

    return load_composite(spec, cuda=cuda)


FAMILY = Family(
    spec=CompositeImageSpec,
    load_model=load_model,
    weight_sources={},
    architectures=frozenset({ARCHITECTURE}),
)
