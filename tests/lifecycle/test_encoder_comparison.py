"""The verdict on a replacement: from what changed in the spec, from the spaces, and from what every head loses."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.catalogue import lookup
from rawless.heads.metrics import Metric
from rawless.lifecycle.encoder_comparison import EncoderComparison
from rawless.lifecycle.head_changes import HeadChange
from rawless.lifecycle.paired_vectors import PairedVectors
from rawless.lifecycle.space_measures import SpaceMeasures, measure

FIRST = lookup("minilm@1.0.0")
PATCH = FIRST.model_copy(update={"version": "1.0.1", "training_domain": "other"})
MINOR = FIRST.model_copy(update={"version": "1.1.0", "pooling": "cls"})
MAJOR = FIRST.model_copy(update={"version": "2.0.0", "dimension": 128})


def space_of(turn: bool = False, noise: float = 0.0) -> SpaceMeasures:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 6)).astype(np.float32)
    y = (-x if turn else x) + np.float32(noise) * rng.standard_normal((60, 6)).astype(np.float32)
    return measure(PairedVectors("upload", ("e",) * 60, (None,) * 60, x, y), 3)


def head(low: float, name: str = "topic@1") -> HeadChange:
    value = Metric("accuracy", 0.9, 0.88, 0.92)
    difference = Metric("accuracy", low + 0.005, low, low + 0.01)
    return HeadChange(name, "linear", "s", native=value, unchanged=value, unchanged_difference=difference)


NOISY, UNMEASURED = space_of(noise=0.5), HeadChange("rare@2", "linear", "s", reasons=("Too few rows.",))


@pytest.mark.parametrize(
    ("second", "space", "heads", "compatible", "bump", "verdict"),
    [
        (PATCH, NOISY, [head(-0.009)], True, "patch", "is compatible with minilm@1.0.0, so that a patch is enough: the "
         "head of minilm@1.0.0 works on it unchanged, within 0.01."),
        (PATCH, NOISY, [head(-0.009), head(-0.011, "mood@3")], False, "minor", "Make it a minor version, minilm@1.1.0: "
         "the accuracy of mood@3, unchanged, changes by -0.006"),
        (PATCH, NOISY, [head(0), UNMEASURED], None, "patch", "not known, because rare@2 could not be measured; what "
         "changed (training_domain) demands a patch version."),
        (PATCH, NOISY, [head(-0.2), UNMEASURED], False, "minor", "the accuracy of topic@1"),
        (PATCH, NOISY, [], None, "patch", "not known, because minilm@1.0.0 has no registered head"),
        (PATCH, space_of(), [], True, "patch", "is compatible with minilm@1.0.0, so that a patch is enough: its"),
        (PATCH, space_of(turn=True), [], False, "minor", "old heads do not work on it, because its space is rotated"),
        (MINOR, NOISY, [head(0)], True, "minor", "minilm@1.1.0 is no patch of minilm@1.0.0, although the head of"),
        (MINOR, NOISY, [head(-0.3)], False, "minor", "minilm@1.1.0 is rightly a minor version after minilm@1.0.0: the"),
        (MAJOR, NOISY, [], False, "major", "is rightly a major version after minilm@1.0.0: no head of 384 components "
         "takes vectors of 128."),
        (FIRST, space_of(), [], True, "none", "minilm@1.0.0 and minilm@1.0.0 are the same encoder."),
    ],
)  # fmt: skip
def test_the_verdict_follows_from_spec_space_and_heads(
    second: object, space: SpaceMeasures, heads: list[HeadChange], compatible: bool | None, bump: str, verdict: str
) -> None:
    found = EncoderComparison(FIRST, second, "upload", space, tuple(heads), 0.01)  # type: ignore[arg-type]

    assert (found.is_compatible, found.bump.value) == (compatible, bump)
    assert verdict in found.verdict


def test_an_encoder_of_another_name_is_not_told_a_version_of_the_first() -> None:
    other = PATCH.model_copy(update={"name": "gist"})
    found = EncoderComparison(FIRST, other, "upload", NOISY, (head(-0.3),), 0.01)

    assert found.verdict.startswith("Keep gist@1.0.1 under a name of its own or make it a minor version: the accuracy")
    assert replace(found, space=space_of(turn=True)).notes[0].endswith("trained again lose nothing.")
