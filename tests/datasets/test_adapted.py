"""Datasets that take adapted rows: only where they say so, only for events without a native vector, and marked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from encoders.adapter import Adapter
from encoders.catalogue import lookup
from encoders.spec import EncoderSpec, Probe, canonical_json
from rawless.datasets.compile import compile_dataset
from rawless.datasets.plan import plan
from rawless.datasets.verify import verify
from rawless.errors import UserError
from rawless.warehouse.append import append_all
from rawless.warehouse.rows import EncoderRow
from tests.shop import AS_OF, EVENTS, Shop, make_row

ADAPTER = Adapter(
    kind="affine", file="adapter.safetensors", sha256="a" * 64, source="1" * 64, target="f" * 64, full_dimension=384,
    dimension=8, l2_normalise=True,
)  # fmt: skip
SPEC = lookup("minilm@1.0.0").model_copy(
    update={
        "name": "tiny-from-old",
        "dimension": 8,
        "probe": Probe.of("a text", np.ones(8, np.float32)),
        "adapter": ADAPTER,
    }
)
OLD = range(EVENTS, EVENTS + 40)
BOTH = range(100, EVENTS)
TAKING: dict[str, Any] = {"adapted": SPEC.ref, "rules": ["exclude_closed_accounts"]}


def register(shop: Shop, spec: EncoderSpec, **fields: Any) -> None:
    row = {"name": spec.name, "version": spec.version, "fingerprint": spec.fingerprint, "sealed": True}
    text = canonical_json(spec.model_dump(mode="json"))
    append_all(shop.warehouse, [EncoderRow(**(row | fields), spec=text, registered_at=datetime.now(UTC))])


def adapt(shop: Shop, numbers: range, **fields: Any) -> None:
    own = {"encoder": SPEC.name, "encoder_version": SPEC.version, "encoder_fingerprint": SPEC.fingerprint}
    for number in numbers:
        vector = make_row(number, {}).embedding + 10
        shop.upload(range(number, number + 1), **own, embedding=vector, **fields)


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The shop with forty older uploads, which have adapted vectors only, and twenty that have both."""
    adapt(shop, range(BOTH[0], OLD[-1] + 1))
    register(shop, SPEC)
    numbers = range(OLD[-1] + 1)
    values = ["cat" if number % 2 else "dog" for number in numbers]
    times = [AS_OF - timedelta(minutes=5)] * len(numbers)
    shop.load("confirmed", {"event_id": [f"e-{n}" for n in numbers], "value": values, "confirmed_at": times})
    return shop


def test_events_without_a_native_vector_have_the_adapted_one_and_their_rows_say_so(shop: Shop) -> None:
    built = shop.build(**TAKING)
    manifest, rows = built.manifest, shop.rows(built.manifest.snapshot_id)

    adapted = {event_id for event_id, row in rows.items() if row["encoder_fingerprint"] == SPEC.fingerprint}
    assert adapted == {f"e-{number}" for number in OLD if number % 40 not in (3, 4)}
    assert {row["encoder_fingerprint"] for row in rows.values()} == {SPEC.fingerprint, "f" * 64}
    for event_id, row in rows.items():
        vector = make_row(int(event_id[2:]), {}).embedding + (10 if event_id in adapted else 0)
        assert row["embedding"] == pytest.approx(vector)
    assert (manifest.fingerprint, manifest.space) == ("f" * 64, "f" * 64)
    assert manifest.adapted
    assert (manifest.adapted.fingerprint, manifest.adapted.total) == (SPEC.fingerprint, len(adapted))
    assert manifest.adapted.rows == {
        split: len([1 for event_id in adapted if rows[event_id]["split"] == split])
        for split in {rows[event_id]["split"] for event_id in adapted}
    }
    assert verify(shop.warehouse, manifest, lambda _: None).findings == ()


def test_without_the_field_adapted_rows_are_not_read(shop: Shop) -> None:
    plain = shop.build(rules=TAKING["rules"])
    assert {row["encoder_fingerprint"] for row in shop.rows(plain.manifest.snapshot_id).values()} == {"f" * 64}
    assert plain.manifest.adapted is None
    assert "adapted" not in plain.manifest.spec | plain.manifest.spec["spec"]


def test_adapted_rows_that_became_known_later_are_not_taken(shop: Shop) -> None:
    adapt(shop, range(400, 401), logged_at=AS_OF + timedelta(hours=1))
    values = {"event_id": ["e-400", "e-1", "e-2"], "value": ["cat", "dog", "cat"], "confirmed_at": [AS_OF] * 3}
    shop.load("confirmed", values)
    assert shop.rows(shop.build(**TAKING).manifest.snapshot_id).keys() == {"e-1", "e-2"}
    later = (AS_OF + timedelta(hours=2)).isoformat()
    assert "e-400" in shop.rows(shop.build(**TAKING, as_of=later).manifest.snapshot_id)


def test_a_snapshot_grows_until_a_native_vector_replaces_an_adapted_one(shop: Shop) -> None:
    first = shop.build(**TAKING)
    adapt(shop, range(300, 301), logged_at=AS_OF + timedelta(hours=1))
    shop.upload(range(121, 122), logged_at=AS_OF + timedelta(hours=3))
    numbers = [*range(OLD[-1] + 1), 300]
    values = ["cat" if number % 2 else "dog" for number in numbers]
    times = [AS_OF - timedelta(minutes=5)] * (len(numbers) - 1) + [AS_OF + timedelta(minutes=5)]
    shop.load("confirmed", {"event_id": [f"e-{n}" for n in numbers], "value": values, "confirmed_at": times})

    grown = shop.build(**TAKING, as_of=(AS_OF + timedelta(hours=2)).isoformat())
    assert grown.growth
    assert f"{first.manifest.rows} rows were copied" in grown.growth
    assert grown.manifest.adapted
    assert first.manifest.adapted
    assert grown.manifest.adapted.total == first.manifest.adapted.total + 1

    replaced = shop.build(**TAKING, as_of=(AS_OF + timedelta(hours=4)).isoformat())
    assert replaced.growth
    assert "All vectors were read, because 1 rows" in replaced.growth
    row = shop.rows(replaced.manifest.snapshot_id)["e-121"]
    assert row["encoder_fingerprint"] == "f" * 64
    assert row["embedding"] == pytest.approx(make_row(121, {}).embedding)
    assert verify(shop.warehouse, replaced.manifest, lambda _: None).findings == ()


def test_a_pair_with_an_adapted_vector_is_adapted(shop: Shop) -> None:
    (shop.folder / "labels" / "paired.sql").write_text(
        "/*\nsays: Whether two uploads are alike.\nkind: pair\n*/\n"
        "SELECT confirmed.event_id AS left_event_id, confirmed.other AS right_event_id, confirmed.value AS label,\n"
        "  confirmed.known_at AS labelled_at\nFROM confirmed\n"
    )
    pairs = [("e-1", "e-41"), ("e-5", "e-125"), ("e-126", "e-86")]
    columns = {"event_id": [left for left, _ in pairs], "other": [right for _, right in pairs]}
    shop.load("confirmed", {**columns, "value": ["yes", "no", "yes"], "confirmed_at": [AS_OF] * 3})
    label = {"query": "paired", "kind": "pair", "classes": ["no", "yes"]}
    built = shop.build(**TAKING | {"rules": []}, label=label)

    found = shop.warehouse.query(f"SELECT * FROM `{shop.warehouse.dataset_id('snapshots')}.dataset_uploads`")
    assert {row["left_event_id"]: row["encoder_fingerprint"] == SPEC.fingerprint for row in found} == {
        "e-1": False,
        "e-5": True,
        "e-126": True,
    }
    assert built.manifest.adapted
    assert built.manifest.adapted.total == 2


def test_a_plan_says_how_many_events_have_an_adapted_vector_only(shop: Shop) -> None:
    planned = plan(compile_dataset(shop.warehouse, shop.dataset(**TAKING)), timedelta(0))
    assert planned.adapted == (EVENTS + len(OLD), len(OLD))
    assert plan(compile_dataset(shop.warehouse, shop.dataset()), timedelta(0)).adapted is None


def test_an_adapter_that_does_not_fit_is_refused_with_what_to_do(shop: Shop) -> None:
    with pytest.raises(UserError, match=r"adapted is tiny@1\.0\.0, as encoder is"):
        shop.build(adapted="tiny@1.0.0")
    with pytest.raises(UserError, match=r"unknown@1\.0\.0, which is not registered: run `rawless encoder register"):
        shop.build(adapted="unknown@1.0.0")
    register(shop, lookup("minilm@1.0.0"))
    with pytest.raises(UserError, match=r"minilm@1\.0\.0, which has no adapter"):
        shop.build(adapted="minilm@1.0.0")
    elsewhere = ADAPTER.model_copy(update={"target": "2" * 64})
    register(shop, SPEC.model_copy(update={"name": "elsewhere", "adapter": elsewhere}))
    with pytest.raises(UserError, match=r"elsewhere@1\.0\.0, which maps into the space of .* 222222222222…"):
        shop.build(adapted="elsewhere@1.0.0")
    native = lookup("minilm@1.0.0").model_copy(update={"name": "tiny"})
    register(shop, native)
    with pytest.raises(UserError, match=r"that of tiny@1\.0\.0 is another: learn an adapter"):
        shop.build(**TAKING)
