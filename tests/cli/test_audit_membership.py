"""`rawless audit membership` measures a head and records what it found."""

from collections.abc import Callable

import yaml

from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from tests.cli.conftest import Outcome
from tests.shop import Shop


def test_the_measures_of_a_head_are_printed_and_recorded(
    rawless: Callable[..., Outcome], shop: Shop, stack: Stack
) -> None:
    split = {"by": "person", "train": 0.5, "validation": 0.1, "test": 0.4, "salt": "a"}
    shop.build(dataset="audited", split=split)
    file = shop.folder / "head.yaml"
    file.write_text(yaml.safe_dump({"head": "audited", "snapshot": "audited", "kind": "linear", "epochs": 5}))
    assert rawless("head", "train", file).code == 0

    printed = rawless("audit", "membership", "audited")
    done = rawless("audit", "membership", "audited@1", "--json").json
    missing = rawless("audit", "membership", "unknown")

    rows = Warehouse(LOCAL_CONFIG, stack.bigquery).query(
        f"SELECT * FROM audit.leakage_audit_v1 WHERE audit_id = '{done['audit_id']}'"
    )
    assert (printed.code, missing.code) == (0, 2)
    assert "Members of audited@1 that are found at 1% false positives" in printed.out
    assert "No more members were found than by a guess" in printed.out
    assert {row["metric"]: row["value"] for row in rows} == {
        measure["metric"]: measure["value"] for measure in done["measures"]
    }
    assert {(row["head"], row["encoder_fingerprint"], row["attack"], row["stream"]) for row in rows} == {
        ("audited@1", "f" * 64, "membership", None)
    }
    assert rows[0]["audited_at"] is not None
