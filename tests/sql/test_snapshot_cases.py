"""Every rule and trap of a dataset, as a folder: rows in the warehouse, a dataset, and the snapshot that it must give.

`snapshot_v1/row.yaml` and `snapshot_v1/dataset.yaml` are the event and the dataset that each case varies. A case
`snapshot_v1/test_<rule or trap>/` has

- `rows.yaml`: a list of what differs from that event. It is logged a minute after it occurred, where not said;
  `label` and `labelled_at` become a row of the table `confirmed`, none where `label` is null; `times: 20` are 20
  events;
- `tables.yaml`, where there are any: rows of business tables and of ours, by name. A column takes the type of its
  values, a TIMESTAMP where they have an offset;
- `dataset.yaml`, where it differs: the fields that stand in the place of the base dataset's;
- `labels/` and `rules/`, where it has own ones;
- `expected.yaml`: the `rows` that must come, each by the fields that matter, and no others (or how many); the
  `ledger`, by rule, of all that was removed; `warnings`, each by a part; `sources`, by the rows that were known.
  Or the `error`, parts of its sentence, what it must `never` hold, and then nothing may be left.

A dataset is built with its rows put in as written and in reverse: what comes must not depend on it.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from rawless.datasets.build import BuildResult, build
from rawless.datasets.compile import compile_dataset
from rawless.datasets.dataset import open_dataset
from rawless.datasets.spec import SPLITS
from rawless.errors import UserError
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.load import load_file
from rawless.warehouse.rows import EmbeddingRow
from rawless.warehouse.tables import table

Rows = list[dict[str, Any]]

HERE = Path(__file__).parent / "snapshot_v1"
CASES = sorted(path.parent for path in HERE.glob("test_*/expected.yaml"))


def read(path: Path, otherwise: Any = None) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else otherwise


EXPECTED = {case: read(case / "expected.yaml") for case in CASES}
REFUSED = [case for case in CASES if "error" in EXPECTED[case]]
BUILT = [case for case in CASES if "error" not in EXPECTED[case]]


ORDERED = [HERE / f"test_{name}" for name in (
    "duplicate_delivery", "latest_label_wins", "labels_of_one_time_contradict", "two_times_of_occurrence",
    "cap_per_subject", "near_duplicates_across_splits",
)]  # fmt: skip
"""Cases in which rows come before others: the order in which they are put in must not matter."""


def named(value: Path | bool) -> str:
    return value.name.removeprefix("test_") if isinstance(value, Path) else "turned" if value else "as written"


def events(case: Path) -> Iterator[dict[str, Any]]:
    """The events of a case, with the fields of their labels."""
    shared = read(HERE / "row.yaml")
    for differs in read(case / "rows.yaml"):
        fields = {**shared, **differs}
        fields.setdefault("logged_at", fields["occurred_at"] + timedelta(minutes=1))
        times = fields.pop("times", None)
        for number in range(1, times + 1) if times else [None]:
            yield fields if number is None else {**fields, "event_id": f"{fields['event_id']}-{number}"}


def make_row(fields: dict[str, Any]) -> EmbeddingRow:
    own = {name: value for name, value in fields.items() if name not in ("label", "labelled_at")}
    own["embedding"] = np.array(own["embedding"], dtype=np.float32)
    own["attributes"] = tuple(own["attributes"].items())
    return EmbeddingRow(**own)


def put_in(warehouse: Warehouse, case: Path, folder: Path, *, turned: bool) -> None:
    told = list(events(case))
    labels = [
        {"event_id": each["event_id"], "value": each["label"], "confirmed_at": each["labelled_at"]}
        for each in told
        if each["label"] is not None
    ]
    tables = read(case / "tables.yaml", {})
    tables["confirmed"] = labels + tables.get("confirmed", [])
    order = -1 if turned else 1
    append_all(warehouse, [make_row(each) for each in told[::order]])
    for name, rows in tables.items():
        load(warehouse, name, rows[::order], folder)


def load(warehouse: Warehouse, name: str, rows: Rows, folder: Path) -> None:
    """Puts rows into one of our tables, or into a business table that is made for them."""
    place = f"{getattr(warehouse.config, table(name).dataset)}.{name}" if name.endswith("_v1") else name
    columns = {column: [row.get(column) for row in rows] for row in rows for column in row}
    arrays = {column: pa.array(values, kind(column, values)) for column, values in columns.items()}
    pyarrow.parquet.write_table(pa.table(arrays), folder / f"{name}.parquet")
    load_file(warehouse, place, folder / f"{name}.parquet")


def kind(column: str, values: list[Any]) -> pa.DataType | None:
    """The type of a column, where its values do not tell it."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, datetime) and value.tzinfo for value in known) or (column.endswith("_at") and not known):
        return pa.timestamp("us", "UTC")
    return None


def make(warehouse: Warehouse, case: Path, folder: Path) -> BuildResult:
    """Builds the dataset of a case, from a file as a user has it."""
    for own in (HERE, case):
        for queries in ("labels", "rules"):
            if (own / queries).is_dir():
                shutil.copytree(own / queries, folder / queries, dirs_exist_ok=True)
    whole = read(HERE / "dataset.yaml") | read(case / "dataset.yaml", {})
    (folder / "dataset.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    dataset = open_dataset(folder / "dataset.yaml")
    return build(compile_dataset(warehouse, dataset), timedelta(0), on_step=lambda _: None)


def stored(warehouse: Warehouse) -> Rows:
    """All rows of all snapshots."""
    rows = warehouse.query(f"SELECT * FROM `{warehouse.table_id('snapshot_v1')}`")
    return [{**row, "attributes": {each["key"]: each["value"] for each in row["attributes"]}} for row in rows]


def work_tables(warehouse: Warehouse) -> list[str]:
    tables = warehouse.client.list_tables(warehouse.dataset_id("snapshots"))
    return [each.table_id for each in tables if not each.table_id.endswith("_v1")]


def match(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    vectors = ("embedding", "right_embedding")
    return all(
        found[name] == ([float(np.float32(each)) for each in value] if name in vectors else value)
        for name, value in wanted.items()
    )


def check_rows(rows: Rows, wanted: Rows | int) -> None:
    if isinstance(wanted, int):
        assert len(rows) == wanted
        return
    left = list(rows)
    for each in wanted:
        matching = [found for found in left if match(found, each)]
        assert len(matching) == 1, f"{len(matching)} rows are {each}, among {left}"
        left.remove(matching[0])
    assert left == []


def check_manifest(built: BuildResult, rows: Rows, expected: dict[str, Any]) -> None:
    """The ledger removes what the case says, adds up from all rows to those that are left, and so do the counts."""
    manifest, left = built.manifest, built.manifest.ledger[0].rows_in
    removed = Counter[str]()
    for line in manifest.ledger:
        removed[line.rule] += line.removed
    assert list((+removed).items()) == list(expected.get("ledger", {}).items())
    for line in manifest.ledger:
        assert line.rows_in == left
        left -= line.removed
    assert left == len(rows)
    counted = {(each.split, each.label): each.row_count for each in manifest.counts}
    assert counted == Counter((row["split"], row["label"] or "") for row in rows)
    sources = {each.table_name: each.row_count for each in manifest.sources}
    assert sources | expected.get("sources", {}) == sources


def check_snapshot(built: BuildResult, rows: Rows) -> None:
    """What holds for every snapshot: one stream's rows, one encoder's, one split a person."""
    assert {row["snapshot_id"] for row in rows} == {built.manifest.snapshot_id}
    assert {row["encoder_fingerprint"] for row in rows} == {built.manifest.fingerprint}
    assert {row["stream"] for row in rows} == {"message"}
    if not any(line.rule == "gap" for line in built.manifest.ledger):
        places = {(row["person_key"], row["split"]) for row in rows if row["person_key"]}
        assert len(places) == len({person for person, _ in places})


def check_warnings(built: BuildResult, rows: Rows, wanted: list[str]) -> None:
    """Those of the case, each once, and one for each split without rows."""
    empty = [f"The split {split} is empty." for split in SPLITS if all(row["split"] != split for row in rows)]
    others = [each for each in built.warnings if each not in empty]
    assert len(built.warnings) == len(empty) + len(wanted), built.warnings
    assert all(sum(part in each for each in others) == 1 for part in wanted), built.warnings


def test_the_cases_are_found() -> None:
    assert len(BUILT) >= 35
    assert len(REFUSED) >= 15
    assert {path.name for path in HERE.iterdir() if path.is_dir()} == {"labels", *(case.name for case in CASES)}


@pytest.mark.parametrize(
    ("case", "turned"), [*((case, False) for case in BUILT), *((case, True) for case in ORDERED)], ids=named
)
def test_a_dataset_gives_exactly_the_rows_of_the_case(
    either: Warehouse, case: Path, turned: bool, tmp_path: Path
) -> None:
    put_in(either, case, tmp_path, turned=turned)
    built = make(either, case, tmp_path)
    rows, expected = stored(either), EXPECTED[case]

    assert built.is_new
    check_rows(rows, expected["rows"])
    check_manifest(built, rows, expected)
    check_snapshot(built, rows)
    check_warnings(built, rows, expected.get("warnings", []))
    assert work_tables(either) == []


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_a_dataset_that_cannot_be_built_is_refused_in_a_sentence_and_leaves_nothing(
    either: Warehouse, case: Path, tmp_path: Path
) -> None:
    put_in(either, case, tmp_path, turned=False)
    with pytest.raises(UserError) as raised:
        make(either, case, tmp_path)
    sentence, expected = str(raised.value), EXPECTED[case]

    assert all(part in sentence for part in expected["error"]), sentence
    assert not any(part in sentence for part in expected.get("never", ())), sentence
    assert sentence.endswith(".")
    assert len(sentence.splitlines()) == 1
    assert stored(either) == []
    assert either.query(f"SELECT snapshot_id FROM `{either.table_id('snapshot_manifest_v1')}`") == []
    assert work_tables(either) == []
