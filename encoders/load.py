"""Loading: from a sealed spec to a verified encoder, once a process and device."""

import json
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import torch

from encoders.catalogue import parse
from encoders.encoder import Device, Encoder, pick_device
from encoders.image_spec import ImageSpec
from encoders.probe import verify
from encoders.spec import EncoderSpec
from encoders.text_spec import TextSpec
from rawless.errors import UserError

if TYPE_CHECKING:  # each brings libraries that take seconds to import
    from encoders.image import ImageEncoder
    from encoders.text import TextEncoder

_loading = Lock()


def load(spec: EncoderSpec, device: Device = "auto") -> Encoder:
    """The encoder of a sealed spec, loaded once a process and device.

    Raises UserError when the spec is unsealed, its files are missing or changed, the device is not there, or
    the probe is not reproduced within the tolerance.
    """
    with _loading:
        return _load(spec.model_dump_json(), pick_device(device).type)


def build(spec: EncoderSpec, device: torch.device) -> "TextEncoder | ImageEncoder":
    """The encoder of a spec, sealed or not, as its files are, on torch; nothing is verified but what the spec names."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if isinstance(spec, TextSpec):
        from encoders.text import TextEncoder

        return TextEncoder(spec, device)
    if isinstance(spec, ImageSpec):
        from encoders.image import ImageEncoder

        return ImageEncoder(spec, device)
    raise UserError(f"There is no encoder for the modality {spec.modality} of {spec.ref}.")


@lru_cache(maxsize=8)
def _load(spec_json: str, device: str) -> Encoder:
    spec = parse(json.loads(spec_json), "The encoder spec")
    if not spec.sealed:
        raise UserError(
            f"The encoder {spec.ref} is not sealed: run `rawless encoder register {spec.ref}` where its weights are."
        )
    encoder = build(spec, torch.device(device))
    encoder.accelerate()
    verify(encoder)
    return encoder
