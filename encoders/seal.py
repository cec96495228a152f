"""Sealing: completing a spec with the digests and the probe of the files that are here."""

from typing import TypeVar

from encoders import weights
from encoders.encoder import pick_device
from encoders.load import build
from encoders.probe import probe_vector
from encoders.spec import EncoderSpec, Probe
from rawless.errors import UserError

S = TypeVar("S", bound=EncoderSpec)


def seal(spec: S) -> S:
    """The spec with the digests of the files found here and the probe computed from them, on the CPU.

    Digests that the spec already has must hold. Raises UserError as `weights.find` does, and when the files give
    no finite vector of the spec's dimension.
    """
    spec = spec.with_digests(weights.digests(spec)).model_copy(update={"probe": None})
    vector = probe_vector(build(spec, pick_device("cpu")))
    if vector is None:
        raise UserError(f"The encoder {spec.ref} gives no finite vector for its probe: check weights and layer.")
    return spec.model_copy(update={"probe": Probe.of(spec.probe_input, vector)})
