"""A column of free text that `rawless load --text` names is read by builders only: no dataset brings a text out."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rawless.datasets.compile import compile_dataset
from rawless.datasets.export import export
from rawless.datasets.plan import plan
from rawless.errors import UserError
from rawless.warehouse.load import load_file
from tests.shop import Shop

WORD = "xylophone"
NOTES = {"table": "note", "known_at": "written_at"}
COPIED = {"table": "note", "mutable": "copy"}


@pytest.fixture
def notes(shop: Shop) -> Path:
    """A business table with a text about each upload; the texts start with a number, and half of them end in a word."""
    texts = [f"{number} My {WORD} broke {'now' if number % 2 else 'again'}" for number in range(120)]
    rows = {"event_id": [f"e-{number}" for number in range(120)], "body": texts}
    at = pa.array([shop.as_of - timedelta(minutes=5)] * 120, pa.timestamp("us", "UTC"))
    file = shop.folder / "note.parquet"
    pq.write_table(pa.table(rows | {"written_at": at}), file)
    load_file(shop.warehouse, "note", file, text=["body"])
    return file


def _label(shop: Shop, sql: str, kind: str = "event", columns: str = "event_id") -> None:
    header = f"/*\nsays: Of the notes.\nkind: {kind}\nconstants: [now, _]\n*/\n"
    text = f"{header}SELECT {columns}, {sql} AS label, written_at AS labelled_at FROM note"
    (shop.folder / "labels" / "of_notes.sql").write_text(text)


def _all_that_scientists_read(shop: Shop) -> str:
    tables = shop.warehouse.client.list_tables(shop.warehouse.dataset_id("snapshots"))
    rows = [shop.warehouse.query(f"SELECT * FROM `{each.full_table_id.replace(':', '.')}`") for each in tables]
    return json.dumps(rows, default=str)


def _fields(source: dict[str, Any], label: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "sources": [source],
        "label": {"query": "of_notes", "classes": ["cat", "dog"]} | (label or {}),
        "rules": None,
        "require": {"min_rows": 1},
    }


def test_a_label_that_judges_texts_carries_none(shop: Shop, notes: Path, tmp_path: Path) -> None:
    _label(shop, "IF(ENDS_WITH(body, 'now'), 'cat', 'dog')")
    fields = _fields(NOTES)
    planned = plan(compile_dataset(shop.warehouse, shop.dataset(**fields)), timedelta(0))
    manifest = shop.build(**fields).manifest
    export(shop.warehouse, manifest, tmp_path / "rows.parquet", lambda _: None)

    assert manifest.rows == 120
    assert WORD not in str(planned)
    assert WORD not in _all_that_scientists_read(shop)
    assert WORD not in str(pq.read_table(tmp_path / "rows.parquet").to_pylist())


NUMBER = {"type": "number", "classes": [], "range": [0, 9], "step": 1}
REFUSED: tuple[tuple[str, dict[str, Any], dict[str, Any], str], ...] = (
    ("body", NOTES, {}, "120 events have a label outside the classes"),
    ("REPLACE(SUBSTR(body, 4, 20), ' ', '_')", NOTES, {}, "contains the text ' '"),
    ("CAST(body AS INT64)", NOTES, NUMBER, "write SAFE_CAST"),
    ("UNIX_DATE(DATE(body))", NOTES, NUMBER, "The step labelled of the build failed"),
    ("TO_CODE_POINTS(body)[OFFSET(0)]", NOTES, NUMBER, "120 events have a label outside the range"),
    ("body", COPIED, {}, "which a copy may not contain because it may be free text"),
)


def test_a_text_that_a_label_returns_fails_the_build_and_is_not_shown(shop: Shop, notes: Path) -> None:
    for sql, source, label, words in REFUSED:
        _label(shop, sql)
        with pytest.raises(UserError) as raised:
            shop.build(**_fields(source, label))

        assert words in str(raised.value)
        assert WORD not in str(raised.value)
    assert WORD not in _all_that_scientists_read(shop)


def test_ids_that_are_texts_match_no_event(shop: Shop, notes: Path) -> None:
    kinds = {"event": "body AS event_id", "subject": "body AS person_key"}
    pair = {"pair": "body AS left_event_id, event_id AS right_event_id"}
    for kind, columns in (kinds | pair).items():
        _label(shop, "'cat'", kind, columns)
        with pytest.raises(UserError, match=r"No rows remain|All .* rows have one label"):
            shop.build(**_fields(NOTES, {"kind": kind} | ({"window": "30d"} if kind == "subject" else {})))
        assert WORD not in _all_that_scientists_read(shop)


def test_a_business_table_cannot_be_loaded_among_the_snapshots(shop: Shop, notes: Path) -> None:
    snapshots = shop.warehouse.config.snapshots
    for dataset in (snapshots, snapshots.upper()):
        with pytest.raises(UserError, match="is the dataset of snapshots, which data scientists read"):
            load_file(shop.warehouse, f"{dataset}.note", notes, text=["body"])

    assert WORD not in _all_that_scientists_read(shop)
