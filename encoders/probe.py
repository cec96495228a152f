"""The golden probe: recomputing its vector, and refusing an encoder that does not reproduce it."""

import numpy as np

from encoders.encoder import Encoded, Encoder
from encoders.spec import EncoderSpec, Vector
from rawless.errors import Unavailable, UserError
from rawless.privacy import Raw


def deviation(encoder: Encoder) -> float:
    """Return the largest difference in any component between the recorded and the recomputed probe.

    It is infinite if the spec has no probe, or the encoder returns no vector of the same shape.
    """
    if encoder.spec.probe is None:
        return float("inf")
    return difference(encoder.spec, probe_vector(encoder))


def difference(spec: EncoderSpec, vector: Vector | None) -> float:
    """Return the largest difference in any component between the recorded probe and a vector, or infinity."""
    if spec.probe is None or vector is None or vector.shape != spec.probe.values.shape:
        return float("inf")
    return float(np.nan_to_num(np.abs(vector - spec.probe.values), nan=np.inf).max())


def verify(encoder: Encoder) -> None:
    """Raise UserError when the encoder does not reproduce its probe within its tolerance."""
    found, spec = deviation(encoder), encoder.spec
    if np.isinf(found):
        raise UserError(
            f"The encoder {spec.ref} produces no vector for its golden probe: correct the spec, or its files."
        )
    if found > spec.tolerance:
        raise UserError(
            f"The encoder {spec.ref} does not reproduce its golden probe here: a component is off by {found:.3g}, "
            f"but the tolerance is {spec.tolerance:.3g}. A library or driver changed its vectors; install the versions "
            "of requirements.lock, or register a new version of the encoder."
        )


def probe_vector(encoder: Encoder, probe_input: str | None = None) -> Vector | None:
    """Return the vector of the probe's input, or of another one, or None when the encoder produces none."""
    content = encoder.spec.content_of(probe_input or encoder.spec.probe_input)
    try:
        outcome = encoder.encode([Raw(content)])[0]
    except Unavailable:  # the encoder fails for every item
        return None
    return outcome.vector if isinstance(outcome, Encoded) else None
