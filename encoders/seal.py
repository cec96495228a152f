"""Sealing: completing a spec with the digests and the probe of the files that are here."""

from encoders import weights
from encoders.encoder import pick_device
from encoders.load import build
from encoders.probe import TEXT_PROBE, probe_vector
from encoders.spec import EncoderSpec, Probe
from privacy import UserError


def seal(spec: EncoderSpec) -> EncoderSpec:
    """The spec with the digests of the files found here and the probe computed from them, on the CPU.

    Digests that the spec already has must hold. Raises UserError as `weights.find` does, and when the files give
    no finite vector of the spec's dimension.
    """
    place = weights.find(spec)
    spec = spec.model_copy(
        update={
            "weights": spec.weights.model_copy(
                update={"files": {name: weights.digest(place / name) for name in spec.weights.files}}
            ),
            "preprocessing": spec.preprocessing.model_copy(
                update={"tokenizer": {name: weights.digest(place / name) for name in spec.preprocessing.tokenizer}}
            ),
        }
    )
    vector = probe_vector(build(spec, pick_device("cpu")), TEXT_PROBE)
    if vector is None:
        raise UserError(f"The encoder {spec.ref} gives no finite vector for its probe: check weights and layer.")
    return spec.model_copy(update={"probe": Probe.of(TEXT_PROBE, vector)})
