"""Events with vectors of two encoders: each once, by its first delivery, and none that was erased or has only one."""

from datetime import timedelta

import numpy as np
import pytest

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.lifecycle.paired_vectors import paired_vectors, vectors_of
from rawless.warehouse.parameters import parameters
from tests.shop import AS_OF, EVENTS, Shop, make_row

FIRST = lookup("minilm@1.0.0").model_copy(update={"dimension": 8})
SECOND = FIRST.model_copy(update={"version": "2.0.0", "dimension": 4})


def upload(shop: Shop, spec: EncoderSpec, numbers: range, length: float = 1.0, **fields: object) -> None:
    own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
    for number in numbers:
        vector = np.full(spec.dimension, length * number, np.float32)
        shop.upload(range(number, number + 1), **{**own, "embedding": vector, **fields})


def test_events_of_both_encoders_are_returned_with_their_first_deliveries(shop: Shop) -> None:
    upload(shop, FIRST, range(1, 7))
    upload(shop, SECOND, range(3, 9), length=10)
    later = {"logged_at": AS_OF + timedelta(hours=1)}
    upload(shop, SECOND, range(4, 5), length=99, **later)
    shop.warehouse.query(
        f"INSERT INTO `{shop.warehouse.table_id('event_tombstone_v1')}` (stream, event_id, erased_at, certificate_id)"
        " VALUES ('upload', 'e-6', @at, 'c')",
        parameters({"at": AS_OF}),
    )

    found = paired_vectors(shop.warehouse, "upload", FIRST, SECOND)

    assert sorted(found.event_ids) == ["e-3", "e-4", "e-5"]
    numbers = [int(event_id[2:]) for event_id in found.event_ids]
    assert found.subject_keys == tuple(make_row(number, {}).subject_key for number in numbers)
    assert found.first.tolist() == [[number] * 8 for number in numbers]
    assert found.second.tolist() == [[10 * number] * 4 for number in numbers]
    sample = paired_vectors(shop.warehouse, "upload", FIRST, SECOND, row_limit=2)
    assert sample.event_ids == found.event_ids[:2]


def test_the_vectors_of_named_events_are_returned_by_id(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawless.lifecycle.paired_vectors.MAX_IDS", 2)
    upload(shop, FIRST, range(1, 7))

    found = vectors_of(shop.warehouse, "upload", FIRST, ["e-1", "e-3", "e-5", "e-7"])

    assert {event_id: vector.tolist() for event_id, vector in found.items()} == {
        f"e-{number}": [number] * 8 for number in (1, 3, 5)
    }
    assert vectors_of(shop.warehouse, "upload", SECOND, ["e-1"]) == {}


def test_streams_without_events_of_both_are_refused(shop: Shop) -> None:
    upload(shop, FIRST, range(EVENTS, EVENTS + 1))
    with pytest.raises(UserError, match=r"No event of upload has vectors of both minilm@1\.0\.0 and minilm@2\.0\.0"):
        paired_vectors(shop.warehouse, "upload", FIRST, SECOND)
