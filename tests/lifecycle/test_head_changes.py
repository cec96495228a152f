"""What another encoder does to the heads of an encoder: as they are, unchanged on its vectors, and trained again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.heads.examples import open_task
from rawless.heads.publish import publish_trained
from rawless.heads.spec import head_spec
from rawless.heads.training import train
from rawless.lifecycle.head_changes import HeadChange, head_changes
from rawless.warehouse.append import append_all
from tests.shop import EVENTS, Shop, make_row, open_shop
from tests.warehouse_pool import WarehousePool

Map = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
FIRST = lookup("minilm@1.0.0").model_copy(update={"dimension": 8})
ROTATED = FIRST.model_copy(update={"version": "1.0.1", "training_domain": "other"})
RARE = FIRST.model_copy(update={"version": "1.0.2", "training_domain": "another"})
SHORT = FIRST.model_copy(update={"version": "2.0.0", "dimension": 4})
ROTATION = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0].astype(np.float32)


@pytest.fixture(scope="module")
def shop(warehouses: WarehousePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with a head in its folder, and with vectors by other encoders of all of its events or of some."""
    warehouse = warehouses.take()
    shop = open_shop(warehouse, tmp_path_factory.mktemp("shop"))
    upload(shop, FIRST, lambda vector: vector)
    split = {"by": "person", "train": 0.5, "validation": 0.1, "test": 0.4, "salt": "a"}
    snapshot = shop.build(dataset="pets", encoder=FIRST.ref, rules=None, split=split).manifest
    spec = head_spec({"head": "pet", "snapshot": snapshot.snapshot_id, "kind": "linear", "learning_rate": 0.05})
    publish_trained(warehouse, train(open_task(warehouse, spec, snapshot), lambda _: None), shop.folder)
    upload(shop, ROTATED, lambda vector: vector @ ROTATION)
    upload(shop, SHORT, lambda vector: vector[:4], range(100))
    upload(shop, RARE, lambda vector: vector, range(30))
    yield shop
    warehouses.give_back(warehouse)


def vector_of(number: int) -> npt.NDArray[np.float32]:
    """Return a vector that tells the event's label, which is whether its number is odd."""
    vector = np.random.default_rng(number).standard_normal(8, np.float32)
    vector[0] = (3 if number % 2 else -3) + vector[0] / 2
    return vector


def upload(shop: Shop, spec: EncoderSpec, mapped: Map, numbers: range = range(EVENTS)) -> None:
    own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
    rows = [make_row(number, {**own, "embedding": mapped(vector_of(number))}) for number in numbers]
    append_all(shop.warehouse, rows)


def changed(shop: Shop, second: EncoderSpec, heads: Path | None = None) -> HeadChange:
    (change,) = head_changes(shop.warehouse, heads or shop.folder, FIRST, second)
    return change


def test_a_rotation_breaks_a_head_that_is_trained_again_without_loss(shop: Shop) -> None:
    change = changed(shop, ROTATED)

    assert (change.head, change.rows, change.reasons) == ("pet@1", change.of_rows, ())
    assert change.native
    assert change.native.value > 0.95
    assert change.unchanged_difference
    assert change.unchanged_difference.high < -0.1
    assert change.refitted_difference
    assert change.refitted_difference.value > -0.05
    assert change.refitted_native == change.native
    assert not change.holds(0.1)


def test_vectors_that_a_caller_gives_are_judged_and_a_copy_changes_nothing(shop: Shop) -> None:
    (change,) = head_changes(
        shop.warehouse,
        shop.folder,
        FIRST,
        ROTATED,
        lambda stream, ids: {each: vector_of(int(each[2:])) for each in ids if stream == "upload"},
        refit=False,
    )

    assert change.unchanged == change.native
    assert change.holds(0)
    assert change.refitted is None


def test_a_head_of_other_dimensions_is_trained_again_on_the_rows_with_both_vectors(shop: Shop) -> None:
    change = changed(shop, SHORT)

    assert change.rows["train"] < change.of_rows["train"]
    assert change.unchanged is None
    assert change.reasons == ("Unchanged it cannot take vectors of minilm@2.0.0: they have 4 components, not 8.",)
    assert change.refitted
    assert change.refitted.value > 0.9
    assert change.refitted_native
    assert not change.holds(1)


def test_heads_that_cannot_be_measured_are_reported_with_what_they_need(shop: Shop, tmp_path: Path) -> None:
    few, elsewhere = changed(shop, RARE), changed(shop, RARE, tmp_path)

    assert few.needed == {"train": 30, "validation": 10, "test": 10}
    assert few.reasons[0].startswith(f"Too few rows of {few.snapshot_id} have vectors of both encoders: ")
    assert f"{few.rows['train']} in train, where 30 are needed" in few.reasons[0]
    assert few.refitted is None
    assert "folder" in elsewhere.reasons[0]
    assert elsewhere.native is None
    assert not elsewhere.holds(1)
