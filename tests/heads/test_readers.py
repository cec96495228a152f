"""A snapshot is read as a frame, a torch `Dataset` or Hugging Face tables with the same rows."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import SPLITS
from rawless.errors import UserError
from rawless.heads.readers import frame, hugging_face, torch_dataset
from tests.shop import Shop, open_shop
from tests.warehouse_pool import WarehousePool

in_one_process = pytest.mark.xdist_group("readers")
"""Of the test run, so that the snapshot is built once."""


@pytest.fixture(scope="module")
def built(warehouses: WarehousePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Manifest]]:
    """A shop with a snapshot, which no test modifies."""
    warehouse = warehouses.take()
    shop = open_shop(warehouse, tmp_path_factory.mktemp("shop"))
    yield shop, shop.build().manifest
    warehouses.give_back(warehouse)


@in_one_process
def test_a_frame_contains_the_rows_and_names_snapshot_and_encoder(built: tuple[Shop, Manifest]) -> None:
    shop, manifest = built
    rows = shop.rows(manifest.snapshot_id)
    data = frame(shop.warehouse, "uploads")

    assert list(data["event_id"]) == sorted(rows)
    for row in data.itertuples(index=False):
        expected = rows[row.event_id]
        assert (row.label, row.split, row.person_key) == (expected["label"], expected["split"], expected["person_key"])
        assert row.occurred_at == expected["occurred_at"]
        np.testing.assert_array_equal(row.embedding, expected["embedding"])
    assert set(data["attribute.channel"]) == {"chat", "email"}
    assert data.attrs == {
        "snapshot_id": manifest.snapshot_id,
        "dataset": "uploads",
        "encoder_fingerprint": "f" * 64,
        "encoder_space": "f" * 64,
        "classes": ["cat", "dog"],
    }


@in_one_process
def test_a_split_is_read_alone(built: tuple[Shop, Manifest]) -> None:
    shop, manifest = built
    frames = [frame(shop.warehouse, manifest.snapshot_id, split) for split in SPLITS]

    assert [set(table["split"]) for table in frames] == [{split} for split in SPLITS]
    assert sum(map(len, frames)) == manifest.rows


@in_one_process
def test_torch_gets_float32_vectors_and_indices_of_classes(built: tuple[Shop, Manifest]) -> None:
    shop, manifest = built
    data = torch_dataset(shop.warehouse, manifest.snapshot_id, "train")
    rows = shop.rows(manifest.snapshot_id)
    vectors, labels = next(iter(DataLoader(data, batch_size=len(data))))

    assert vectors.dtype == torch.float32
    assert vectors.shape == (len(data), 8)
    assert [data.classes[index] for index in labels] == [rows[name]["label"] for name in data.ids]
    np.testing.assert_array_equal(vectors, np.array([rows[name]["embedding"] for name in data.ids], np.float32))


@in_one_process
def test_hugging_face_gets_three_splits_with_class_labels(built: tuple[Shop, Manifest]) -> None:
    datasets = pytest.importorskip("datasets")
    shop, manifest = built
    data = hugging_face(shop.warehouse, manifest.snapshot_id)
    rows = shop.rows(manifest.snapshot_id)

    assert set(data) == set(SPLITS)
    assert data["train"].features["label"] == datasets.ClassLabel(names=["cat", "dog"])
    assert sum(len(table) for table in data.values()) == manifest.rows
    for split, table in data.items():
        for row in table:
            assert rows[row["event_id"]]["split"] == split
            assert table.features["label"].int2str(row["label"]) == rows[row["event_id"]]["label"]
            assert row["embedding"] == rows[row["event_id"]]["embedding"]
        assert table.cache_files == []


def test_pairs_have_two_vectors_and_two_ids(shop: Shop, build_pairs: Callable[..., Manifest]) -> None:
    manifest = build_pairs()
    pairs = frame(shop.warehouse, manifest.snapshot_id)
    vectors = torch_dataset(shop.warehouse, manifest.snapshot_id)
    tables = hugging_face(shop.warehouse, manifest.snapshot_id)

    assert len(pairs) == len(vectors) == manifest.rows == 60
    assert vectors.ids == list(zip(pairs["left_event_id"], pairs["right_event_id"], strict=True))
    (left, right), _ = vectors[3]
    np.testing.assert_array_equal(left, pairs["embedding"][3].astype(np.float32))
    np.testing.assert_array_equal(right, pairs["right_embedding"][3].astype(np.float32))
    assert {"left_event_id", "right_event_id", "embedding", "right_embedding", "label"} <= set(
        tables["train"].column_names
    )


def test_labels_that_are_numbers_stay_numbers(shop: Shop) -> None:
    shop.load(
        "confirmed",
        {
            "event_id": [f"e-{number}" for number in range(120)],
            "value": [number / 8 for number in range(120)],
            "confirmed_at": [shop.as_of] * 120,
        },
    )
    label = {"query": "confirmed_upload", "type": "number", "range": [0, 100], "step": 0.125}
    manifest = shop.build(label=label).manifest
    table = frame(shop.warehouse, manifest.snapshot_id)
    data = torch_dataset(shop.warehouse, manifest.snapshot_id)
    tables = hugging_face(shop.warehouse, manifest.snapshot_id)

    expected = {f"e-{number}": number / 8 for number in range(120)}
    assert dict(zip(table["event_id"], table["label_value"], strict=True)).items() <= expected.items()
    assert data[0][1] == pytest.approx(expected[data.ids[0]])
    assert data.classes == ()
    assert tables["test"][0]["label"] == expected[tables["test"][0]["event_id"]]


@in_one_process
def test_an_unknown_snapshot_is_refused(built: tuple[Shop, Manifest]) -> None:
    shop, _ = built
    for read in (frame, torch_dataset, hugging_face):
        with pytest.raises(UserError, match="no snapshot and no dataset 'nothing'"):
            read(shop.warehouse, "nothing")
