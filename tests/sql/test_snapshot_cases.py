"""Every rule and special case of a dataset, as a folder: rows in the warehouse, a dataset, and the expected snapshot.

`snapshot_v1/row.yaml` and `snapshot_v1/dataset.yaml` are the event and the dataset that each case varies. A case
`snapshot_v1/test_<name>/` has

- `rows.yaml`: a list of events as differences from `row.yaml`. An event is logged a minute after it occurred, unless
  the file says otherwise; `label` and `labelled_at` become a row of the table `confirmed`, unless `label` is null;
  `times: 20` stands for 20 events;
- `tables.yaml`, if needed: rows of business tables and of Rawless's tables, by name. A column has the type of its
  values; times with an offset are TIMESTAMPs;
- `dataset.yaml`, if needed: fields that override those of the base dataset;
- `labels/` and `rules/`, if the case has its own;
- `expected.yaml`: all `rows` of the snapshot, each by the fields that matter, or their number; the `ledger`, by rule,
  of all removed rows; `warnings`, each by a part; `sources`, by the number of rows known at the as-of. Or the `error`,
  by parts of its message, and what it must `never` contain; then nothing may be left in the warehouse.

A dataset is built with its rows in the order of the file and in reverse: the result must not depend on the order.
"""

import re
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
    "duplicate_delivery", "forged_served_event", "latest_label_wins", "labels_of_one_time_contradict",
    "two_times_of_occurrence", "cap_per_subject", "near_duplicates_across_splits",
    "features", "closed_at_the_event", "subject_labels_at_several_times",
)]  # fmt: skip
"""Cases in which rows are ranked: the order in which they are inserted must not matter."""


VARIANTS = [HERE / f"test_{name}" for name in (
    "closed_then_reopened", "decision_with_reversal_as_a_label", "near_duplicates_of_zero_vectors",
    "occurred_within_a_month_of_which_the_day_is_missing", "outcome_within_of_the_event_itself",
    "own_rule_named_like_one_of_ours", "pair_label_known_before_its_events", "subject_labels_within_a_window",
    "class_that_is_a_whole_number", "decision_that_is_a_float", "decision_that_is_a_number",
    "source_with_a_known_time_of_no_zone", "split_of_the_working_table", "too_few_rows_of_a_label",
)]  # fmt: skip
"""Cases that vary a rule of another case, which `make test` leaves to `make test-full`."""


def variants_in_full(cases: list[Path]) -> list[Any]:
    """Return cases as parameters of a test, the variants marked as full."""
    return [pytest.param(case, marks=pytest.mark.full if case in VARIANTS else ()) for case in cases]


def case_id(value: Path | bool) -> str:
    return value.name.removeprefix("test_") if isinstance(value, Path) else "reversed" if value else "as written"


def events(case: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a case, with the fields of their labels."""
    base = read(HERE / "row.yaml")
    for differences in read(case / "rows.yaml"):
        fields = {**base, **differences}
        fields.setdefault("logged_at", fields["occurred_at"] + timedelta(minutes=1))
        times = fields.pop("times", None)
        for number in range(1, times + 1) if times else [None]:
            yield fields if number is None else {**fields, "event_id": f"{fields['event_id']}-{number}"}


def make_row(fields: dict[str, Any]) -> EmbeddingRow:
    own = {name: value for name, value in fields.items() if name not in ("label", "labelled_at")}
    own["embedding"] = np.array(own["embedding"], dtype=np.float32)
    own["attributes"] = tuple(own["attributes"].items())
    return EmbeddingRow(**own)


def insert(warehouse: Warehouse, case: Path, folder: Path, *, is_reversed: bool) -> None:
    case_events = list(events(case))
    labels = [
        {"event_id": event["event_id"], "value": event["label"], "confirmed_at": event["labelled_at"]}
        for event in case_events
        if event["label"] is not None
    ]
    tables = read(case / "tables.yaml", {})
    tables["confirmed"] = labels + tables.get("confirmed", [])
    order = -1 if is_reversed else 1
    append_all(warehouse, [make_row(event) for event in case_events[::order]])
    for name, rows in tables.items():
        load(warehouse, name, rows[::order], folder)


def load(warehouse: Warehouse, name: str, rows: Rows, folder: Path) -> None:
    """Load rows into one of Rawless's tables, or into a new business table."""
    place = f"{getattr(warehouse.config, table(name).dataset)}.{name}" if name.endswith("_v1") else name
    columns = {column: [row.get(column) for row in rows] for row in rows for column in row}
    arrays = {column: pa.array(values, kind(column, values)) for column, values in columns.items()}
    pyarrow.parquet.write_table(pa.table(arrays), folder / f"{name}.parquet")
    load_file(warehouse, place, folder / f"{name}.parquet", existing="append")


def kind(column: str, values: list[Any]) -> pa.DataType | None:
    """Return the type of a column, if it does not follow from its values."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, datetime) and value.tzinfo for value in known) or (column.endswith("_at") and not known):
        return pa.timestamp("us", "UTC")
    return None


def make(warehouse: Warehouse, case: Path, folder: Path) -> BuildResult:
    """Build the dataset of a case from a file."""
    for own in (HERE, case):
        for queries in ("labels", "rules"):
            if (own / queries).is_dir():
                shutil.copytree(own / queries, folder / queries, dirs_exist_ok=True)
    fields = read(HERE / "dataset.yaml") | read(case / "dataset.yaml", {})
    (folder / "dataset.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    dataset = open_dataset(folder / "dataset.yaml")
    return build(compile_dataset(warehouse, dataset), timedelta(0), on_step=lambda _: None)


def stored(warehouse: Warehouse) -> Rows:
    """Return the rows of all snapshots."""
    place = warehouse.dataset_id("snapshots")
    names = [each.table_id for each in warehouse.client.list_tables(place)]
    snapshots = [name for name in names if re.fullmatch("snapshot_[0-9a-f]+", name)]
    rows = [row for name in snapshots for row in warehouse.query(f"SELECT * FROM `{place}.{name}`")]
    return [
        {
            **row,
            "attributes": {each["key"]: each["value"] for each in row["attributes"]},
            "features": {
                each["name"]: each["value"] if each["category"] is None else each["category"]
                for each in row["features"]
            },
        }
        for row in rows
    ]


def work_tables(warehouse: Warehouse) -> list[str]:
    return [each.table_id for each in warehouse.client.list_tables(warehouse.dataset_id("builds"))]


def match(row: dict[str, Any], expected: dict[str, Any]) -> bool:
    vectors = ("embedding", "right_embedding")
    return all(
        row[name] == ([float(np.float32(each)) for each in value] if name in vectors else value)
        for name, value in expected.items()
    )


def check_rows(rows: Rows, wanted: Rows | int) -> None:
    if isinstance(wanted, int):
        assert len(rows) == wanted
        return
    left = list(rows)
    for each in wanted:
        matching = [row for row in left if match(row, each)]
        assert len(matching) == 1, f"{len(matching)} rows are {each}, among {left}"
        left.remove(matching[0])
    assert left == []


def check_manifest(built: BuildResult, rows: Rows, expected: dict[str, Any]) -> None:
    """Check that the ledger removes the expected rows, and that it and the counts add up."""
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
    """Check what is true of every snapshot: one stream, one encoder, one split for each person."""
    assert {row["encoder_fingerprint"] for row in rows} == {built.manifest.fingerprint}
    assert {row["stream"] for row in rows} == {"message"}
    if not any(line.rule == "gap" for line in built.manifest.ledger):
        places = {(row["person_key"], row["split"]) for row in rows if row["person_key"]}
        assert len(places) == len({person for person, _ in places})


def check_warnings(built: BuildResult, rows: Rows, wanted: list[str]) -> None:
    """Check that the warnings are those of the case, and one for each split without rows."""
    empty = [f"The split {split} is empty." for split in SPLITS if all(row["split"] != split for row in rows)]
    others = [each for each in built.warnings if each not in empty]
    assert len(built.warnings) == len(empty) + len(wanted), built.warnings
    assert all(sum(part in each for each in others) == 1 for part in wanted), built.warnings


def test_the_cases_are_found() -> None:
    assert len(BUILT) >= 35
    assert len(REFUSED) >= 15
    assert {*VARIANTS} <= {*BUILT, *REFUSED}
    assert {path.name for path in HERE.iterdir() if path.is_dir()} == {"labels", *(case.name for case in CASES)}


def check_built(warehouse: Warehouse, case: Path, folder: Path, *, is_reversed: bool) -> BuildResult:
    """Build the dataset of a case in an empty warehouse, and check all that the case expects."""
    insert(warehouse, case, folder, is_reversed=is_reversed)
    built = make(warehouse, case, folder)
    rows, expected = stored(warehouse), EXPECTED[case]

    assert built.is_new
    check_rows(rows, expected["rows"])
    check_manifest(built, rows, expected)
    check_snapshot(built, rows)
    check_warnings(built, rows, expected.get("warnings", []))
    assert work_tables(warehouse) == []
    return built


def check_refused(warehouse: Warehouse, case: Path, folder: Path, *, is_reversed: bool) -> None:
    """Check that the dataset of a case cannot be built, and that the sentence is the one that the case expects."""
    insert(warehouse, case, folder, is_reversed=is_reversed)
    with pytest.raises(UserError) as raised:
        make(warehouse, case, folder)
    sentence, expected = str(raised.value), EXPECTED[case]

    assert all(part in sentence for part in expected["error"]), sentence
    assert not any(part in sentence for part in expected.get("never", ())), sentence
    assert sentence.endswith(".")
    assert len(sentence.splitlines()) == 1
    assert stored(warehouse) == []
    assert warehouse.query(f"SELECT snapshot_id FROM `{warehouse.table_id('snapshot_manifest_v1')}`") == []
    assert work_tables(warehouse) == []


@pytest.mark.parametrize(
    ("case", "is_reversed"),
    [
        *(pytest.param(*each.values, False, marks=each.marks) for each in variants_in_full(BUILT)),
        *(pytest.param(case, True, marks=pytest.mark.full) for case in ORDERED),
    ],
    ids=case_id,
)
def test_a_dataset_builds_exactly_the_rows_of_the_case(
    warehouse: Warehouse, case: Path, is_reversed: bool, tmp_path: Path
) -> None:
    check_built(warehouse, case, tmp_path, is_reversed=is_reversed)


@pytest.mark.parametrize("case", variants_in_full(REFUSED), ids=case_id)
def test_a_dataset_that_cannot_be_built_is_refused_in_one_sentence_and_leaves_nothing(
    warehouse: Warehouse, case: Path, tmp_path: Path
) -> None:
    check_refused(warehouse, case, tmp_path, is_reversed=False)
