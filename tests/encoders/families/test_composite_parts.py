"""Composites of the parts of an event: each encoder reads its part, and a missing one is a stated policy."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import parse
from encoders.compose import compose
from encoders.encoder import Encoded
from encoders.families.composite_parts import CompositePartsSpec
from encoders.load import build, load
from encoders.spec import EncoderSpec, Vector
from encoders.versions import Bump, changes, required_bump
from rawless.content import ImageLimits
from rawless.content_parts import overhead, pack, unpack
from rawless.errors import UserError
from rawless.privacy import Raw, Reason
from tests.tiny_towers import Towers

TEXT = b"where is my parcel ?"


def picture(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def composed(towers: Towers, missing: Any) -> CompositePartsSpec:
    """Return the sealed composite of a photo and its caption."""
    made = compose(
        [towers.image, towers.text], "photo-and-caption", "1.0.0", weights=[1.0, 0.5], normalise_parts=True,
        l2_normalise=False, reads=["photo", "caption"], missing=missing,
    )  # fmt: skip
    assert isinstance(made, CompositePartsSpec)
    return made


@pytest.fixture(scope="module")
def with_zeros(towers: Towers) -> CompositePartsSpec:
    return composed(towers, "zeros")


@pytest.fixture(scope="module")
def rejecting(towers: Towers) -> CompositePartsSpec:
    return composed(towers, "reject")


def on_cpu(spec: EncoderSpec) -> BatchEncoder[Any]:
    return build(spec, torch.device("cpu"))


def vector(encoder: Any, content: bytes) -> Vector:
    outcome = encoder.encode([Raw(content)])[0]
    assert isinstance(outcome, Encoded)
    return outcome.vector / np.linalg.norm(outcome.vector)


def test_each_part_is_encoded_by_its_own_encoder(
    towers: Towers, with_zeros: CompositePartsSpec, rejecting: CompositePartsSpec
) -> None:
    expected = np.hstack([vector(on_cpu(towers.image), picture()), 0.5 * vector(on_cpu(towers.text), TEXT)])

    for spec in (with_zeros, rejecting):
        (outcome,) = on_cpu(spec).encode([Raw(pack({"caption": TEXT, "photo": picture(), "other": b"x"}))])
        assert isinstance(outcome, Encoded)
        np.testing.assert_allclose(outcome.vector, expected, atol=1e-5)


def test_a_missing_part_is_zeros_or_a_rejection_and_no_neighbour_is_affected(
    with_zeros: CompositePartsSpec, rejecting: CompositePartsSpec
) -> None:
    whole, caption, photo = (
        pack(parts) for parts in ({"photo": picture(), "caption": TEXT}, {"caption": TEXT}, {"photo": picture()})
    )
    nothing, broken = pack({"other": b"x"}), pack({"photo": b"no image", "caption": TEXT})
    contents = [whole, caption, photo, nothing, broken, b"\xff", whole]

    zeros = load(with_zeros, "cpu").encode([Raw(content) for content in contents])
    rejected = on_cpu(rejecting).encode([Raw(content) for content in contents])

    full, no_photo, no_caption, *reasons, again = zeros
    assert isinstance(full, Encoded)
    assert isinstance(no_photo, Encoded)
    assert isinstance(no_caption, Encoded)
    assert isinstance(again, Encoded)
    size = with_zeros.parts[0].encoder.dimension
    assert not no_photo.vector[:size].any()
    assert not no_caption.vector[size:].any()
    np.testing.assert_allclose(no_photo.vector[size:], full.vector[size:], atol=1e-5)
    np.testing.assert_allclose(no_caption.vector[:size], full.vector[:size], atol=1e-5)
    np.testing.assert_allclose(again.vector, full.vector, atol=1e-5)
    assert reasons == [Reason.MISSING_PART, Reason.UNSUPPORTED_IMAGE_FORMAT, Reason.MALFORMED_EVENT]
    assert [each for each in rejected if isinstance(each, Reason)] == [Reason.MISSING_PART] * 3 + reasons[1:]


def test_limits_apply_to_the_images_among_the_parts(with_zeros: CompositePartsSpec) -> None:
    content = pack({"photo": picture(), "caption": TEXT})
    assert on_cpu(with_zeros).encode([Raw(content)], ImageLimits(max_pixels=100)) == [Reason.TOO_MANY_PIXELS]


def test_the_policy_and_what_is_read_are_part_of_the_identity(
    with_zeros: CompositePartsSpec, rejecting: CompositePartsSpec
) -> None:
    data = json.loads(with_zeros.model_dump_json())
    assert parse(data, "The spec").fingerprint == with_zeros.fingerprint
    found = changes(with_zeros, rejecting)
    assert [(change.field, change.bump) for change in found] == [("missing", Bump.MINOR)]
    data["parts"][1]["reads"] = "title"
    data["probe"] = None
    renamed = parse(data, "The spec")
    assert required_bump(changes(with_zeros, renamed)) is Bump.MINOR
    data["parts"][1]["reads"] = "photo"
    with pytest.raises(UserError, match="photo is read as an image and as a text"):
        parse(data, "The spec")


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '{"a": {"payload_base64": "?"}}', '{"a": {}}'])
def test_a_probe_without_parts_is_refused(with_zeros: CompositePartsSpec, text: str) -> None:
    data = with_zeros.model_dump(mode="json")
    data["probe"]["input"] = text
    with pytest.raises(UserError, match=r"probe|file"):
        parse(data, "The spec")


def test_both_options_of_parts_are_needed(towers: Towers) -> None:
    options: dict[str, Any] = {"weights": [1, 1], "normalise_parts": True, "l2_normalise": False}
    pair = [towers.image, towers.text]
    with pytest.raises(UserError, match="--reads and --missing are of encoders that read the parts"):
        compose(pair, "two", "1.0.0", **options, reads=["photo", "caption"])
    with pytest.raises(UserError, match="--reads has 1 names, but there are 2 encoders"):
        compose(pair, "two", "1.0.0", **options, reads=["photo"], missing="zeros")
    with pytest.raises(UserError, match="takes text, but the composite takes image"):
        compose(pair, "two", "1.0.0", **options)


Cut = Callable[[bytes], bytes]


@pytest.mark.parametrize("cut", [lambda each: each[:-1], lambda each: each[:3], lambda each: each + b"\0"])
def test_what_was_packed_is_unpacked_and_nothing_else(cut: Cut) -> None:
    parts = {"photo": bytes(range(256)), "caption": "é".encode(), "empty": b""}
    packed = pack(parts)

    assert unpack(packed) == parts
    assert pack(dict(reversed(parts.items()))) == packed
    assert len(packed) == sum(len(content) + overhead(name) for name, content in parts.items())
    with pytest.raises(ValueError, match="cut off"):
        unpack(cut(packed))
