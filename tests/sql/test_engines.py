"""Google's evaluator of GoogleSQL, or BigQuery itself, gives every case the answer that the local BigQuery gives.

The cases are those of `test_cases.py` and `test_snapshot_cases.py`, with their rows in both orders.
"""

import operator
from pathlib import Path
from typing import Any

import pytest

from rawless.datasets.build import BuildResult
from rawless.warehouse.client import Warehouse
from tests.sql import test_cases, test_snapshot_cases
from tests.sql.test_snapshot_cases import BUILT, REFUSED, check_built, check_refused, stored

pytestmark = pytest.mark.full
BOTH_ORDERS = pytest.mark.parametrize("is_reversed", [False, True], ids=test_cases.case_id)


def comparable(warehouse: Warehouse, built: BuildResult) -> dict[str, Any]:
    """Return all that two engines must agree on: rows, ledger, counts, sources, digest and warnings."""
    manifest = built.manifest
    return {
        "rows": sorted(stored(warehouse), key=operator.itemgetter("event_id", "left_event_id", "right_event_id")),
        "snapshot": (manifest.snapshot_id, manifest.fingerprint, manifest.sql_digest),
        "ledger": manifest.ledger,
        "counts": manifest.counts,
        "sources": manifest.sources,
        "digest": manifest.row_digest,
        "warnings": built.warnings,
    }


@BOTH_ORDERS
@pytest.mark.parametrize("case", BUILT, ids=test_snapshot_cases.case_id)
def test_google_builds_the_same_snapshot(
    warehouse: Warehouse, google: Warehouse, case: Path, is_reversed: bool, tmp_path: Path
) -> None:
    answers = []
    for engine, name in ((warehouse, "local"), (google, "google")):
        (tmp_path / name).mkdir()
        answers.append(comparable(engine, check_built(engine, case, tmp_path / name, is_reversed=is_reversed)))

    assert answers[0] == answers[1]


@BOTH_ORDERS
@pytest.mark.parametrize("case", REFUSED, ids=test_snapshot_cases.case_id)
def test_google_leads_to_the_same_refusal(google: Warehouse, case: Path, is_reversed: bool, tmp_path: Path) -> None:
    check_refused(google, case, tmp_path, is_reversed=is_reversed)


@BOTH_ORDERS
@pytest.mark.parametrize("case", test_cases.CASES, ids=test_cases.case_id)
def test_google_returns_the_same_rows(warehouse: Warehouse, google: Warehouse, case: Path, is_reversed: bool) -> None:
    local, other = (test_cases.check(engine, case, is_reversed=is_reversed) for engine in (warehouse, google))

    assert [sorted(rows, key=str) for rows in local] == [sorted(rows, key=str) for rows in other]
