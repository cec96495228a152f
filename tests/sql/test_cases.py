"""Every business rule of a table function, as a folder: its rows in, and what the function must then give.

`<table>_v1/row.yaml` is the row that each case varies. A case `<table>_v1/test_<rule>/` has

- `rows.yaml`: a list of what differs from that row;
- `tombstones.yaml`, where there are any: rows of `tombstone_v1`;
- `expected.yaml`: a list of questions (`start_at`, `end_at`: January 2026 where not said; `as_of`, which is put on
  the outside as readers do) and the `rows` that must come, each by the fields that matter. No others may come.

Each case runs with its rows put in as written and in reverse: what comes must not depend on it.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.rows import EmbeddingRow, RejectionRow, Row

HERE = Path(__file__).parent
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
KNOWN_AT = {"embedding_event": "logged_at", "rejection": "rejected_at"}
CASES = sorted(path.parent for name in KNOWN_AT for path in HERE.glob(f"{name}_v1/test_*/rows.yaml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def make_row(function: str, fields: dict[str, Any]) -> Row:
    if function == "rejection":
        return RejectionRow(**fields)
    vector = np.array(fields["embedding"], dtype=np.float32)
    attributes = tuple(fields["attributes"].items())
    return EmbeddingRow(**{**fields, "embedding": vector, "attributes": attributes})


def put_in(warehouse: Warehouse, case: Path, function: str, *, turned: bool) -> None:
    shared = read(case.parent / "row.yaml")
    rows = [make_row(function, {**shared, **differs}) for differs in read(case / "rows.yaml")]
    for row in reversed(rows) if turned else rows:
        append_all(warehouse, [row])
    tombstones = case / "tombstones.yaml"
    for each in read(tombstones) if tombstones.is_file() else []:
        warehouse.query(
            f"INSERT INTO `{warehouse.table_id('tombstone_v1')}` (person_key, subject_keys, erased_before,"
            " certificate_id) VALUES (@person_key, @subject_keys, @erased_before, @certificate_id)",
            parameters(each),
        )


def ask(warehouse: Warehouse, function: str, question: dict[str, Any]) -> list[dict[str, Any]]:
    name = f"{warehouse.dataset_id('events')}.{function}"
    times = {"start_at": question.get("start_at", START), "end_at": question.get("end_at", END)}
    statement = f"SELECT * FROM `{name}`(@start_at, @end_at)"
    if "as_of" in question:
        statement += f" WHERE {KNOWN_AT[function]} <= @as_of"
        times["as_of"] = question["as_of"]
    return warehouse.query(statement, parameters(times))


def match(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(
        np.allclose(found[name], value, rtol=0, atol=1e-9) if name == "embedding" else found[name] == value
        for name, value in wanted.items()
    )


def test_the_cases_are_found() -> None:
    assert len(CASES) >= 8
    assert {path.parent.name for path in CASES} == {"embedding_event_v1", "rejection_v1"}


@pytest.mark.parametrize("turned", [False, True], ids=["as written", "turned"])
@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.name.removeprefix('test_')}")
def test_the_function_gives_exactly_the_rows_of_the_case(either: Warehouse, case: Path, turned: bool) -> None:
    function = case.parent.name.removesuffix("_v1")
    put_in(either, case, function, turned=turned)
    for question in read(case / "expected.yaml"):
        left = ask(either, function, question)
        for wanted in question["rows"]:
            matching = [found for found in left if match(found, wanted)]
            assert len(matching) == 1, f"{len(matching)} rows are {wanted}, among {left}"
            left.remove(matching[0])
        assert left == [], question
