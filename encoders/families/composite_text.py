"""Composites of text encoders: layers of one model, or several models, whose vectors are concatenated."""

from typing import Any, Literal

from encoders.composite import ARCHITECTURE, CompositeSpec
from encoders.family import Family, Model
from encoders.text_spec import TextSpec


class CompositeTextSpec(CompositeSpec):
    """The spec of a composite of text encoders."""

    modality: Literal["text"]

    @staticmethod
    def built_in_probe() -> str:
        """See `EncoderSpec.built_in_probe`."""
        return TextSpec.built_in_probe()

    @staticmethod
    def content_of(probe_input: str) -> bytes:
        """See `EncoderSpec.content_of`."""
        return TextSpec.content_of(probe_input)


def load_model(spec: CompositeTextSpec, *, cuda: bool) -> Model[Any]:
    """Return the model of a spec. Raises UserError as the families of its parts do."""
    from encoders.composite_model import load_composite

    return load_composite(spec, cuda=cuda)


FAMILY = Family(
    spec=CompositeTextSpec,
    load_model=load_model,
    weight_sources={},
    architectures=frozenset({ARCHITECTURE}),
)
