"""The golden probe: sealing an encoder, and refusing one that has drifted from its seal."""

import numpy as np

from encoders.encoder import Encoded, Encoder
from encoders.spec import Vector
from rawless.errors import Unavailable, UserError
from rawless.privacy import Raw


def deviation(encoder: Encoder) -> float:
    """The largest difference of a component between the recorded and the recomputed probe (infinite: no vector)."""
    probe = encoder.spec.probe
    if probe is None:
        return float("inf")
    vector = probe_vector(encoder)
    if vector is None or vector.shape != probe.values.shape:
        return float("inf")
    return float(np.abs(vector - probe.values).max())


def verify(encoder: Encoder) -> None:
    """Raise UserError when the encoder does not reproduce its probe within its tolerance."""
    found, spec = deviation(encoder), encoder.spec
    if np.isinf(found):
        raise UserError(f"The encoder {spec.ref} gives no vector for its golden probe: mend the spec, or its files.")
    if found > spec.tolerance:
        raise UserError(
            f"The encoder {spec.ref} does not reproduce its golden probe here: a component is off by {found:.3g}, but "
            f"the tolerance is {spec.tolerance:.3g}. A library or driver changed its vectors; install the versions of "
            "requirements.lock, or register a new version of the encoder."
        )


def probe_vector(encoder: Encoder) -> Vector | None:
    """The vector that the encoder gives for its probe's input, None when it gives none."""
    content = encoder.spec.content_of(encoder.spec.probe_input)
    try:
        outcome = encoder.encode([Raw(content)])[0]
    except Unavailable:  # it fails for every item
        return None
    return outcome.vector if isinstance(outcome, Encoded) else None
