"""`rawless dataset` and `rawless search` on the local stack: results, output and errors."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.cli.conftest import Outcome
from tests.shop import SPEC, Shop

Rawless = Callable[..., Outcome]


@pytest.fixture
def write(shop: Shop) -> Callable[..., Path]:
    """Return a function that writes a dataset file with some fields changed."""

    def file(**fields: object) -> Path:
        path = shop.folder / "dataset.yaml"
        path.write_text(yaml.safe_dump(SPEC | fields))
        return path

    return file


def test_from_a_file_to_a_snapshot_and_back_to_its_rows(
    rawless: Rawless, write: Callable[..., Path], tmp_path: Path
) -> None:
    file = write(dataset="from_a_file")
    planned = rawless("dataset", "plan", file, "--json").json
    built = rawless("dataset", "build", file, "--json").json
    again = rawless("dataset", "build", file, "--json").json
    shown = rawless("dataset", "show", "from_a_file", "--verify", "--json")
    exported = rawless("dataset", "export", built["snapshot_id"], "--to", tmp_path / "x.parquet", "--json").json
    near = rawless("search", "--snapshot", "from_a_file", "--event", "e-5", "--top", "3", "--json").json

    assert planned["snapshot_id"] == built["snapshot_id"] == again["snapshot_id"] == exported["snapshot_id"]
    assert planned["texts"] == {"rule exclude_closed_accounts": ["account_closed"], "rule occurred_within": ["UTC"],
                                "classes": ["cat", "dog"]}  # fmt: skip
    assert planned["label_bits"] == built["label_bits"] == shown.json["label_bits"] == 1.58  # cat, dog or no row
    assert (built["new"], again["new"]) == (True, False)
    assert [line["rule"] for line in built["ledger"]][-2:] == ["exclude_closed_accounts", "occurred_within"]
    assert (shown.code, shown.json["equal"], shown.json["findings"]) == (0, True, [])
    assert pq.read_metadata(tmp_path / "x.parquet").num_rows == exported["rows"] == 114
    assert len(near["neighbours"]) == 3
    assert set(near["neighbours"][0]) == {"event_id", "label", "split", "cosine"}


def test_the_printed_output(rawless: Rawless, write: Callable[..., Path], tmp_path: Path) -> None:
    built = rawless("dataset", "build", write(dataset="read"))
    again = rawless("dataset", "build", write(dataset="read"))
    shown = rawless("dataset", "show", "read", "--verify")
    other = rawless("dataset", "build", write(dataset="read", rules=["exclude_closed_accounts"]), "--json").json
    first = json.loads(rawless("dataset", "list", "read", "--json").out)[1]["snapshot"]
    moved = rawless("dataset", "diff", other["snapshot_id"], first, "--json").json
    same = rawless("dataset", "diff", "read", other["snapshot_id"])
    exported = rawless("dataset", "export", "read", "--to", tmp_path / "y.parquet")

    assert "114 rows as of 2026-02-01 00:00:00 UTC" in built.out
    assert "exclude_closed_accounts" in built.out
    assert "This snapshot was built before" in again.out
    assert "Label and presence of a row carry at most 1.6 bits about an event." in shown.out
    assert "Equal: the stored rows and the rebuilt rows" in shown.out
    assert moved["summary"] == []  # all uploads are of the last sixty days
    assert "have the same rows, labels and splits" in same.out
    assert f"Wrote 114 rows of {other['snapshot_id']} to {tmp_path / 'y.parquet'}" in exported.out
    for outcome in (built, again, shown, same, exported):
        assert (outcome.code, outcome.err) == (0, "")


def test_a_plan_shows_statements_parameters_bytes_and_money(rawless: Rawless, write: Callable[..., Path]) -> None:
    near = SPEC["split"] | {"near_duplicates": {"cosine": 0.98}}
    rules = [*SPEC["rules"], {"attribute_in": {"attribute": "channel", "values": ["chat"]}}]
    printed = rawless("dataset", "plan", write(split=near, rules=rules)).out

    for words in ("-- eligible", "-- labelled", "-- exclude_closed_accounts", "-- split_by_person", "-- snapshot"):
        assert words in printed
    assert "@days = 60" in printed
    assert "Label and presence of a row carry at most 1.6 bits about an event." in printed
    assert "US dollars on demand" in printed
    assert "The search for near duplicates" in printed
    assert "rule attribute_in: '[A-Za-z0-9_.:%/+-]{1,32}', '[a-z][a-z0-9_]{0,62}', 'channel', 'chat'\n" in printed


@pytest.mark.parametrize("command", ["plan", "build"])
def test_over_the_budget_nothing_is_built(
    rawless: Rawless, shop: Shop, write: Callable[..., Path], command: str
) -> None:
    before = shop.left()
    refused = rawless("dataset", command, write(dataset="dear", budget={"max_bytes_billed": "1KB"}))

    assert refused.code == 2
    assert "but budget.max_bytes_billed is 1 KB" in refused.err
    assert shop.left() == before


def test_a_snapshot_that_was_changed_fails_verification_with_code_1(
    rawless: Rawless, shop: Shop, write: Callable[..., Path]
) -> None:
    built = rawless("dataset", "build", write(dataset="robbed"), "--json").json
    table = f"{shop.warehouse.dataset_id('snapshots')}.snapshot_{built['snapshot_id']}"
    shop.warehouse.query(f"DELETE FROM `{table}` WHERE event_id = 'e-9'")
    shown = rawless("dataset", "show", "robbed", "--verify")

    assert shown.code == 1
    assert "Not equal: 1 of 114 rows are no longer stored" in shown.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dataset", "build", "no-file.yaml"), "no-file.yaml"),
        (("dataset", "show", "no_dataset"), "There is no snapshot and no dataset 'no_dataset'"),
        (("dataset", "diff", "a", "b"), "There is no snapshot and no dataset 'a'"),
        (("dataset", "export", "none", "--to", "x.parquet"), "There is no snapshot and no dataset 'none'"),
        (("search", "--snapshot", "none", "--event", "e-1"), "There is no snapshot and no dataset 'none'"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(rawless: Rawless, arguments: tuple[str, ...], words: str) -> None:
    refused = rawless(*arguments)

    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1
    assert refused.out == ""
