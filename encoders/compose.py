"""Making a composite of encoders that are there."""

from collections.abc import Sequence
from typing import Any, Literal

from encoders.catalogue import parse
from encoders.composite import ARCHITECTURE
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.errors import UserError

_LONGEST_DOMAIN = 500


def compose(
    encoders: Sequence[EncoderSpec],
    name: str,
    version: str,
    *,
    weights: Sequence[float],
    normalise_parts: bool,
    l2_normalise: bool,
    reads: Sequence[str] = (),
    missing: Literal["reject", "zeros"] | None = None,
) -> EncoderSpec:
    """Return the sealed composite of several encoders, in their order, with a weight for each.

    They are of one modality, or each reads the part of an event that `reads` names for it; `missing` says what an event
    without one of them gets.

    Raises UserError when they cannot be composed, and as `seal` does.
    """
    if len(weights) != len(encoders):
        raise UserError(
            f"--weights has {len(weights)} numbers, but there are {len(encoders)} encoders: give one for each, as in "
            f"--weights {','.join(['1'] * len(encoders))}."
        )
    if reads and len(reads) != len(encoders):
        raise UserError(
            f"--reads has {len(reads)} names, but there are {len(encoders)} encoders: give one for each, as in "
            "--reads photo,caption."
        )
    if bool(reads) != (missing is not None):
        raise UserError("--reads and --missing are of encoders that read the parts of an event: give both, or neither.")
    data: dict[str, Any] = {
        "name": name,
        "version": version,
        "modality": "parts" if reads else encoders[0].modality,
        "architecture": ARCHITECTURE,
        "parts": [
            {"encoder": encoder, "weight": weight, "l2_normalise": normalise_parts}
            | ({"reads": reads[number]} if reads else {})
            for number, (encoder, weight) in enumerate(zip(encoders, weights, strict=True))
        ],
        "l2_normalise": l2_normalise,
        "dimension": sum(encoder.dimension for encoder in encoders),
        "precision": encoders[0].precision,
        # A component of a part that was weighted is off by as much more.
        "tolerance": min(0.1, max(encoder.tolerance for encoder in encoders) * max(1.0, *weights)),
        "training_domain": _joined(encoders),
    }
    data |= {"missing": missing} if missing else {}
    return seal(parse(data, f"The encoder {name}@{version}"))


def _joined(encoders: Sequence[EncoderSpec]) -> str:
    domains = "; ".join(dict.fromkeys(encoder.training_domain for encoder in encoders))
    return domains if len(domains) <= _LONGEST_DOMAIN else f"{domains[: _LONGEST_DOMAIN - 1]}…"
