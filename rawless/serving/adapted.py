"""Vectors of an encoder with an adapter in the place of those that it maps to, where the service's file says so."""

from collections.abc import Iterable

from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.serving.config import ServedHead


def space_of_vectors(head: ServedHead, spec: EncoderSpec) -> str:
    """Return the space as whose vectors a served head takes those of its encoder.

    It is that of the encoder or, with `adapted: true`, the one that its adapter maps into. Raises UserError for that
    without an adapter.
    """
    if not head.adapted:
        return spec.space
    if spec.adapter is None:
        raise UserError(
            f"heads.{head.name}.adapted is true, but {spec.ref} has no adapter: remove it, or name an encoder that "
            "`rawless encoder adapt` made."
        )
    head.stream.check_modality(spec.ref, spec.modality, spec.reads)
    return spec.adapter.target


def hint_adapted(spec: EncoderSpec, spaces: Iterable[str]) -> str:
    """Return what to say beside the refusal of an encoder whose adapter maps into one of the spaces that there are."""
    if spec.adapter is None or spec.adapter.target not in spaces:
        return ""
    return f" {spec.ref} maps into that space by an adapter, which is near to it and not the same: say `adapted: true`."
