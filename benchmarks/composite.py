"""Composites: what two layers of one model cost in one encoder, against each by itself."""

from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.work import messages, photographs
from encoders.catalogue import lookup, parse
from encoders.compose import compose
from encoders.encoder import Encoder
from encoders.load import load
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.privacy import Raw

ITEMS = 48


def measure(count: int) -> list[Figure]:
    """Seconds for the items of a text and of an image workload, by encoder, and the ratio to the sum of both parts."""
    images, layer3 = photographs(ITEMS // 4), {"layer": "layer3", "dimension": 256}
    return [
        *_measure("texts", messages(ITEMS), "minilm@1.0.0", {"layer": 4}, "<= 0.75", count),
        *_measure("photographs", images, "resnet18-seeded@1.0.0", layer3, "", count),
    ]


def _measure(
    label: str, payloads: Sequence[bytes], ref: str, inner: dict[str, Any], bound: str, count: int
) -> list[Figure]:
    specs = {"last layer": lookup(ref), "inner layer": _variant(ref, inner)}
    options: dict[str, Any] = {"weights": [1.0, 1.0], "normalise_parts": True, "l2_normalise": False}
    specs["composite"] = compose(list(specs.values()), "two-layers", "1.0.0", **options)
    encoders = {name: load(spec, "cpu") for name, spec in specs.items()}
    times = rounds({name: (lambda each=each: _seconds(each, payloads)) for name, each in encoders.items()}, count)  # type: ignore[misc]
    both = [sum(pair) for pair in zip(times["last layer"], times["inner layer"], strict=True)]
    return [
        *(figure("composite", label, name, values, "s") for name, values in times.items()),
        figure("composite", label, "composite / both alone", ratios(times["composite"], both), "ratio", bound),
    ]


def _variant(ref: str, fields: dict[str, Any]) -> EncoderSpec:
    data = lookup(ref).model_dump(mode="json") | {"name": "inner", "probe": None}
    return seal(parse(data | fields, "The spec"))


def _seconds(encoder: Encoder, payloads: Sequence[bytes]) -> float:
    return seconds(lambda: encoder.encode([Raw(payload) for payload in payloads]))
