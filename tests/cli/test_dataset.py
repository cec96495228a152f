"""`rawless dataset` and `rawless search` on the local stack: results, output and errors."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from rawless.cli.commands.dataset import _print_outcomes
from rawless.datasets.unit_tests import Difference, Outcome
from tests.cli.conftest import Outcome as CommandOutcome
from tests.shop import LABEL, SPEC, Shop

Rawless = Callable[..., CommandOutcome]


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
    traced = rawless("dataset", "lineage", "from_a_file", "--json").json
    sent = [json.loads(line) for line in rawless("dataset", "lineage", "from_a_file", "--openlineage").out.splitlines()]
    near = rawless("search", "--snapshot", "from_a_file", "--event", "e-5", "--top", "3", "--json").json

    assert planned["snapshot_id"] == built["snapshot_id"] == again["snapshot_id"] == exported["snapshot_id"]
    assert planned["texts"] == {"rule exclude_closed_accounts": ["account_closed"], "rule occurred_within": ["UTC"],
                                "classes": ["cat", "dog"]}  # fmt: skip
    assert planned["label_bits"] == built["label_bits"] == shown.json["label_bits"] == 1.58  # cat, dog or no row
    assert (built["new"], again["new"]) == (True, False)
    assert [line["rule"] for line in built["ledger"]][-2:] == ["exclude_closed_accounts", "occurred_within"]
    assert (shown.code, shown.json["equal"], shown.json["findings"]) == (0, True, [])
    assert pq.read_metadata(tmp_path / "x.parquet").num_rows == exported["rows"] == 114
    assert [(each["is"], each["kind"]) for each in traced["lineage"]][-2:] == [
        ("input", "encoder"),
        ("output", "export"),
    ]
    assert [each["job"]["name"] for each in sent] == ["dataset.from_a_file", "dataset.from_a_file.export"]
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
    expect = {"sources": {"confirmed": {"not_null": ["event_id"]}}}
    printed = rawless("dataset", "plan", write(split=near, rules=rules, expect=expect)).out

    assert "The build commits only if:\n  each row of confirmed has event_id\n" in printed
    for words in (
        "-- expect confirmed",
        "-- eligible",
        "-- labelled",
        "-- exclude_closed_accounts",
        "-- exclude_closed_accounts, occurred_within, attribute_in",
        "-- snapshot",
    ):
        assert words in printed
    assert "@days_5 = 60" in printed
    assert "Label and presence of a row carry at most 1.6 bits about an event." in printed
    assert "US dollars on demand" in printed
    assert "The search for near duplicates" in printed
    assert "rule attribute_in: '[A-Za-z0-9_.:%/+-]{1,32}', '[a-z][a-z0-9_]{0,62}', 'channel', 'chat'\n" in printed


@pytest.mark.parametrize("command", ["plan", "build"])
def test_own_sql_that_bigquery_refuses_is_refused_with_its_words(
    rawless: Rawless, write: Callable[..., Path], shop: Shop, command: str
) -> None:
    before = shop.left()
    (shop.folder / "rules").mkdir(exist_ok=True)
    (shop.folder / "rules" / "fresh.sql").write_text(
        "/*\nsays: Keeps fresh events.\nwithout_subject: judge\n*/\n"
        "SELECT event.example_id, event.event_id FROM event\nWHERE event.occurred_at > DATE(@as_of)\n"
    )
    refused = rawless("dataset", command, write(dataset="refused", rules=["fresh"]))

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.strip() == (
        "Error: The rule fresh is refused by BigQuery in line 6, column 7 of rules/fresh.sql: No matching signature "
        "for operator > for argument types: TIMESTAMP, DATE; correct it."
    )
    assert shop.left() == before


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


def test_unit_tests_run_in_a_warehouse_of_their_own_and_leave_nothing(
    rawless: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command starts a local stack in a temporary folder, and stops it."""
    temporary, home = tmp_path / "temporary", tmp_path / "home"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("RAWLESS_HOME", str(home))
    unit_test = "- {name: %s, rule: sample, given: {events: [{event_id: a}]}, expect: {kept: [%s]}}\n"
    spec = SPEC | {"rules": [{"sample": {"share": 1.0}}]}
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "confirmed_upload.sql").write_text(LABEL)
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(spec))
    file = tmp_path / "tests.yaml"
    file.write_text("dataset: dataset.yaml\nunit_tests:\n" + unit_test % ("all", "a") + unit_test % ("none", ""))

    outcome = rawless("dataset", "test", file, "--json")

    assert outcome.code == 1
    assert outcome.json == {
        "passed": 1,
        "failed": 1,
        "tests": [
            {"file": str(file), "name": "all", "passed": True, "differences": [], "error": None},
            {"file": str(file), "name": "none", "passed": False, "error": None,
             "differences": [{"example": "a", "expected": "not kept", "actual": "kept"}]},
        ],
    }  # fmt: skip
    assert outcome.err == ""
    assert list(temporary.iterdir()) == []
    assert not home.exists()


def test_failed_unit_tests_are_printed_as_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("tests/topics.yaml")
    difference = Difference("a", "removed by sample", "kept, label app")
    outcomes = [
        Outcome(file, "one"),
        Outcome(file, "two", (difference,)),
        Outcome(file, "three", error="No such column."),
    ]

    _print_outcomes(outcomes)

    assert capsys.readouterr().out.splitlines() == [
        "FAILED two (tests/topics.yaml)",
        "  a:",
        "    - removed by sample",
        "    + kept, label app",
        "FAILED three (tests/topics.yaml)",
        "  No such column.",
        "1 of 3 tests passed.",
    ]
