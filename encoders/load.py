"""Loading a verified encoder from a sealed spec, once for each process and device.

Torch is imported when an encoder is loaded: a process that only prepares a job for others does without it.
"""

import json
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from encoders import weights
from encoders.catalogue import parse
from encoders.encoder import Device, Encoder
from encoders.families import family_of
from encoders.family import Model
from encoders.precision import is_half
from encoders.probe import difference, verify
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.privacy import Raw

if TYPE_CHECKING:
    import torch

    from encoders.batch_encoder import BatchEncoder
    from encoders.runtimes.conversion_cache import Conversion

_loading = Lock()


def load(spec: EncoderSpec, device: Device = "auto") -> Encoder:
    """Return the encoder of a sealed spec; the same one for every call of the process with that spec and device.

    Raises UserError when the spec is unsealed, its files are missing or changed, the device is not available, or
    the probe is not reproduced within the tolerance.
    """
    from encoders.device import pick_device

    with _loading:
        return _load(spec.model_dump_json(), pick_device(device).type)


def refuse_unsealed(spec: EncoderSpec) -> None:
    """Raise UserError for a spec without digests or golden probe."""
    if not spec.sealed:
        raise UserError(
            f"The encoder {spec.ref} is not sealed: run `rawless encoder register {spec.ref}` where its weights are."
        )


def build(spec: EncoderSpec, device: "torch.device") -> "BatchEncoder[Any]":
    """Return a new encoder of a spec, sealed or not, on torch. The probe is not verified. Raises UserError."""
    from encoders.batch_encoder import BatchEncoder

    if spec.needs_cuda and device.type != "cuda":
        raise UserError(
            f"The encoder {spec.ref} decodes images by nvjpeg, which needs a CUDA device: use a machine with one, "
            "or an encoder whose decoder is pillow_draft."
        )
    encoder = BatchEncoder(spec, load_model(spec, cuda=device.type == "cuda"), device)
    encoder.check_precision()
    return encoder


def load_model(spec: EncoderSpec, *, cuda: bool) -> Model[Any]:
    """Return the model of a spec, whose network has its defence or adapter. Raises UserError as its family does."""
    from encoders.adapted_network import adapt
    from encoders.defended_network import defend

    model = family_of(spec).load_model(spec.network_alone(), cuda=cuda)
    defend(model, spec)
    adapt(model, spec)
    return model


def _accelerated(spec: EncoderSpec, device: "torch.device") -> "BatchEncoder[Any]":
    """Return the encoder of a spec on the fastest runtime of a device, converted before if possible."""
    if device.type != "cpu" or is_half(spec.precision):
        conversion = None
    else:
        from encoders.runtimes.conversion_cache import conversion_of

        conversion = conversion_of(spec)
    if conversion is not None and (encoder := _converted(spec, device, conversion)):
        return encoder
    encoder = build(spec, device)
    encoder.accelerate(conversion)
    return encoder


def _converted(spec: EncoderSpec, device: "torch.device", conversion: "Conversion") -> "BatchEncoder[Any] | None":
    """Return the encoder on the network that was converted before, or None without one that returns the probe.

    It is tried before the encoder is, which must not take a wrong network for a broken encoder.
    """
    from encoders.batch_encoder import BatchEncoder
    from encoders.runtimes.openvino import OpenVino

    if (network := conversion.read()) is None:
        return None
    weights.verify(spec)
    try:
        runtime = OpenVino(network)
        encoder: BatchEncoder[Any] = BatchEncoder(spec, load_model(spec, cuda=False), device, runtime)
        probe = encoder.prepare(Raw(spec.content_of(spec.probe_input)))
        if difference(spec, runtime(*encoder.inputs([probe]))[0]) <= spec.tolerance:
            return encoder
    except RuntimeError:  # of the runtime
        pass
    conversion.remove()
    return None


@lru_cache(maxsize=8)
def _load(spec_json: str, device: str) -> Encoder:
    spec = parse(json.loads(spec_json), "The encoder spec")
    refuse_unsealed(spec)
    import torch

    from encoders.gpu import watch_gpu

    encoder = _accelerated(spec, torch.device(device))
    verify(encoder)
    watch_gpu(torch.device(device))
    encoder.measure()  # from now on: the probe's batch is no event's
    encoder.isolate()  # what follows is the content of others
    return encoder
