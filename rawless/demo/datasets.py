"""Build the demo's dataset from the real digits and invented business data: confirmations and closed accounts."""

import csv
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from rawless.datasets.build import BuildResult, build
from rawless.datasets.compile import compile_dataset
from rawless.datasets.dataset import open_dataset
from rawless.datasets.diff import diff, summarise
from rawless.demo import customer, today
from rawless.demo.digits import CUSTOMERS
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.warehouse.client import Warehouse
from rawless.warehouse.load import load_file

LABEL = """/*
says: The digit that the customer confirmed last.
kind: event
*/
SELECT
  confirmed.event_id,
  confirmed.digit AS label,
  confirmed.known_at AS labelled_at
FROM digit_confirmed AS confirmed
"""
SPEC: dict[str, Any] = {
    "dataset": "digit_uploads",
    "stream": "digit_upload",
    "encoder": "resnet18-seeded@1.0.0",
    "sources": [
        {"table": "digit_confirmed", "known_at": "confirmed_at"},
        {"table": "account_closed", "known_at": "closed_at"},
        {"table": "account_reopened", "known_at": "reopened_at"},
    ],
    "label": {"query": "confirmed_digit", "classes": [str(digit) for digit in range(10)], "maturity": "3d"},
    "split": {"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "a"},
}
_CLOSED, _REOPENED, _CONFIRMED = 14, 4, 0.95


def build_snapshots(
    warehouse: Warehouse, key: PseudonymKey, uploads: Path, classes: list[int], folder: Path
) -> dict[str, Any]:
    """Load the business data, build a snapshot under three rules, change one rule, build again, and compare.

    The dataset files stay in `folder`, so that users can change and build them again.
    """
    _load(warehouse, key, uploads, classes)
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / "confirmed_digit.sql").write_text(LABEL)
    as_of = datetime.now(UTC)
    before, after = (_build(warehouse, folder, as_of, days) for days in (50, 30))
    moves = diff(warehouse, before.manifest, after.manifest, lambda _: None)
    return {
        "snapshot_id": before.manifest.snapshot_id,
        "counts": [count._asdict() for count in before.manifest.counts],
        "ledger": [line._asdict() for line in before.manifest.ledger],
        "warnings": before.warnings,
        "changed_snapshot_id": after.manifest.snapshot_id,
        "diff": summarise(moves),
    }


def _build(warehouse: Warehouse, folder: Path, as_of: datetime, days: int) -> BuildResult:
    rules = [
        {"exclude_closed_accounts": {"reopened": "account_reopened"}},
        {"occurred_within": {"days": days}},
        {"cap_per_subject": {"events": 6}},
    ]
    file = folder / f"digit_uploads-{days}.yaml"
    file.write_text(yaml.safe_dump(SPEC | {"rules": rules, "as_of": as_of.isoformat()}))
    return build(compile_dataset(warehouse, open_dataset(file)), timedelta(0), lambda _: None)


def _load(warehouse: Warehouse, key: PseudonymKey, folder: Path, classes: list[int]) -> None:
    """Load invented business data: who confirmed which digit, who closed an account, who reopened it."""
    chance = random.Random(6)  # noqa: S311 - for repeatability
    closed, day = chance.sample(range(CUSTOMERS), _CLOSED), today()
    uploads = list(csv.DictReader((folder / "metadata.csv").open(encoding="utf-8")))
    tables = {
        "digit_confirmed": [_confirmation(row, classes, chance) for row in uploads if chance.random() < _CONFIRMED],
        "account_closed": [_account("closed_at", number, day - timedelta(days=20)) for number in closed],
        "account_reopened": [_account("reopened_at", number, day - timedelta(days=9)) for number in closed[:_REOPENED]],
    }
    for name, rows in tables.items():
        file = folder / f"{name}.csv"
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows)
        column = "customer_id" if "customer_id" in rows[0] else None
        load_file(warehouse, name, file, key=key if column else None, subject_column=column, existing="replace")


def _confirmation(row: dict[str, str], classes: list[int], chance: random.Random) -> dict[str, str]:
    kind, _, number = row["event_id"].partition("-")
    digit = str(classes[int(number)]) if kind == "digit" else "0"
    later = datetime.fromisoformat(row["occurred_at"]) + timedelta(hours=chance.randrange(1, 48))
    return {"event_id": row["event_id"], "digit": digit, "confirmed_at": later.isoformat()}


def _account(column: str, number: int, at: datetime) -> dict[str, str]:
    return {"customer_id": customer(number), column: at.isoformat()}
