"""Sealing a spec: adding the digests of its files and the probe that they produce."""

from typing import TypeVar

from encoders import weights
from encoders.device import pick_device
from encoders.load import build
from encoders.probe import probe_vector
from encoders.spec import EncoderSpec, Probe
from rawless.errors import UserError

S = TypeVar("S", bound=EncoderSpec)


def seal(spec: S) -> S:
    """Return the spec with the digests of the files on this machine and the probe computed from them.

    It is computed on the CPU, or on CUDA if the spec needs it.

    Raises UserError as `weights.find` does, when a file does not have a digest that the spec already names, and when
    the files produce no finite vector for the probe or for an item of the largest size.
    """
    spec = spec.with_digests(weights.digests(spec)).model_copy(update={"probe": None})
    encoder = build(spec, pick_device("auto" if spec.needs_cuda else "cpu"))
    vector = probe_vector(encoder)
    if vector is None:
        raise UserError(f"The encoder {spec.ref} produces no finite vector for its probe: check weights and layer.")
    if spec.longest_input is not None and probe_vector(encoder, spec.longest_input) is None:
        raise UserError(
            f"The encoder {spec.ref} produces a vector for its probe, but none for an item of the largest size: lower "
            "max_tokens."
        )
    return spec.model_copy(update={"probe": Probe.of(spec.probe_input, vector)})
