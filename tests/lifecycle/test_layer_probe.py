"""A probe trains the same head over each variant, on the same rows, and finds the one that carries the label."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.examples import Task
from rawless.lifecycle.layer_probe import check_task, probe, values_of, variants
from rawless.privacy import Raw
from tests.heads.conftest import make_task

ROWS = 80
LABELS = np.arange(ROWS) % 2
IMAGE = lookup("resnet18-seeded@1.0.0")


def task(**spec: Any) -> Task:
    vectors = np.zeros((ROWS, 3), np.float32)
    return make_task((vectors,), LABELS, ("my", "parcel"), epochs=30, **spec)


def texts() -> dict[str, Raw[bytes]]:
    """Texts whose label is one word among three others, of which a cls token that is no token yet knows nothing."""
    words, generator = ("cat", "dog", "bird", "two", "paid", "for"), np.random.default_rng(5)
    drawn = [" ".join([("my", "parcel")[n % 2], *generator.choice(words, 3)]) for n in range(ROWS)]
    return {f"e-{number}": Raw(text.encode()) for number, text in enumerate(drawn)}


def silent(_: str) -> None:
    """Ignore progress."""


def test_the_variant_that_carries_the_label_is_found(tiny_sealed: EncoderSpec) -> None:
    found = probe(
        task(), variants(tiny_sealed, {"layer": ["0", "-1"], "pooling": ["mean", "cls"]}), texts(), "cpu", silent
    )

    assert [each.values for each in found] == [
        {"layer": -1, "pooling": "mean"},
        {"layer": 0, "pooling": "mean"},
        {"layer": 0, "pooling": "cls"},
        {"layer": -1, "pooling": "cls"},
    ]
    assert [each.is_own for each in found] == [True, False, False, False]
    assert {(each.rows, each.dimension) for each in found} == {(ROWS, 16)}
    # The embedding of the cls token is the same in every text, the mean of all embeddings contains the label's word.
    assert found[1].test.value > 0.9
    assert found[2].test.value < 0.7
    assert found[2].difference is not None
    assert found[2].difference.value == pytest.approx(found[2].test.value - found[0].test.value)
    assert found[0].difference is None


def test_variants_of_images_differ_in_interpolation_and_may_have_other_dimensions() -> None:
    payloads = {}
    for number in range(ROWS):
        file = BytesIO()
        Image.new("RGB", (8, 8), ("red", "blue")[number % 2]).save(file, "PNG")
        payloads[f"e-{number}"] = Raw(file.getvalue())
    small = IMAGE.preprocessing.model_copy(update={"resize": 32, "crop": 32})  # type: ignore[attr-defined]
    spec = IMAGE.model_copy(update={"preprocessing": small})

    found = probe(
        task(), variants(spec, {"layer": ["layer1"], "interpolation": ["nearest", "bicubic"]}), payloads, "cpu", silent
    )

    assert [(*each.values.values(), each.dimension) for each in found] == [
        ("layer4", "average", "bilinear", 512),
        ("layer1", "average", "nearest", 64),
        ("layer1", "average", "bicubic", 64),
    ]
    assert all(each.test.value == 1 for each in found)


def test_contents_that_the_encoder_rejects_are_left_out_of_all_variants(tiny_sealed: EncoderSpec) -> None:
    given = texts() | {"e-0": Raw(b"\xff"), "e-79": Raw(b" ")}

    found = probe(task(), variants(tiny_sealed, {"layer": ["1"]}), given, "cpu", silent)

    assert [each.rows for each in found] == [ROWS - 2] * 2
    with pytest.raises(UserError, match="1 of 80 events are not in the source"):
        probe(
            task(),
            variants(tiny_sealed, {"layer": ["1"]}),
            {k: v for k, v in given.items() if k != "e-5"},
            "cpu",
            silent,
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Nothing is to be compared"),
        ({"interpolation": ["nearest"]}, "--interpolations is given, but encoders of architecture bert have no"),
        ({"layer": ["last"]}, "--layers has 'last', but the rule for tiny@1.0.0 is: a whole number"),
        ({"pooling": ["sum"]}, "tiny@1.0.0 with pooling sum: pooling"),
    ],
)
def test_values_that_no_encoder_has_are_refused(
    tiny_sealed: EncoderSpec, given: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        variants(tiny_sealed, given)


def test_the_own_values_are_not_probed_twice(tiny_sealed: EncoderSpec) -> None:
    found = variants(tiny_sealed, {"layer": ["-1", "1", "1"]})

    assert [values_of(each)["layer"] for each in found] == [-1, 1]


def test_pairs_and_layers_that_a_model_lacks_are_refused(
    tiny_sealed: EncoderSpec, tiny_spec: Callable[..., EncoderSpec]
) -> None:
    vectors = np.ones((10, 4), np.float32)
    pairs = make_task((vectors, vectors), np.arange(10) % 2, ("no", "yes"), kind="pair")
    with pytest.raises(UserError, match="probes are for heads of single events"):
        check_task(pairs)
    with pytest.raises(UserError, match="says layer 7, but its weights have 2 layers"):
        probe(task(), variants(tiny_sealed, {"layer": ["7"]}), texts(), "cpu", silent)
