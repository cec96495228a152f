"""`rawless subjects sync` on the local stack: the subject map and the printed output."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from rawless.privacy.pseudonyms import KEY_VARIABLE
from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH
from tests.keys import FIXED_KEY

Rawless = Callable[..., Any]
SECRET = "secret8251"
COUNT = "SELECT COUNT(*) AS n, COUNT(DISTINCT person_key) AS persons FROM subjects.subject_map_v1 "


@pytest.fixture
def load(rawless: Rawless, tmp_path: Path) -> Callable[..., None]:
    """Return a function that replaces a table by one of these customers."""

    def put(table: str, *customers: str | int | None) -> None:
        file = tmp_path / "customers.jsonl"
        file.write_text("".join(json.dumps({"customer_id": each}) + "\n" for each in customers))
        assert rawless("load", table, file, "--text", "customer_id", "--replace").code == 0

    return put


def test_rules_can_join_plain_ids_with_embeddings(
    rawless: Rawless, load: Callable[..., None], stream_file: Path, write_events: Callable[..., Path]
) -> None:
    customers = ["o'Brien; --", '"', "e\u0301", "spa ced", "007", "x" * MAX_SUBJECT_LENGTH]
    events = write_events(*({"event_id": f"sync-{n}", "subject_id": each} for n, each in enumerate(customers)))
    assert rawless("ingest", "--stream", stream_file, "--source", f"jsonl:{events}").code == 0
    load("joined_account", *customers)

    assert rawless("subjects", "sync", "--from", "joined_account.customer_id").code == 0

    joined = rawless(
        "sql",
        "SELECT event_id, account.customer_id "
        "FROM events.embedding_event(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01') AS event "
        "JOIN subjects.subject_map_v1 AS subject USING (subject_key, subject_key_id) "
        "JOIN joined_account AS account ON account.customer_id = subject.customer_id "
        "WHERE event_id LIKE 'sync-%' ORDER BY event_id",
        "--json",
    )
    assert joined.json == [{"event_id": f"sync-{n}", "customer_id": each} for n, each in enumerate(customers)]


def test_it_reports_new_rows_rows_without_id_and_skipped_ids(rawless: Rawless, load: Callable[..., None]) -> None:
    load("sync_account", "sync-a", "sync-b", "sync-b", None, "", "sync\n", "x" * 300)

    first = rawless("subjects", "sync", "--from", "sync_account.customer_id")
    second = rawless("subjects", "sync", "--from", "events.sync_account.customer_id")

    assert (first.code, first.err) == (0, "")
    assert first.out.splitlines() == [
        "sync_account.customer_id: 2 customers added to the subject map, 0 already in it.",
        "2 rows have no id.",
        "2 ids were skipped because no event can carry them: they are longer than 256 characters, contain "
        "unprintable characters, or have outer blanks, which --subject-form trim removes.",
    ]
    assert "events.sync_account.customer_id: 0 customers added to the subject map, 2 already in it." in second.out


def test_a_new_key_is_a_second_row_of_the_same_person(
    rawless: Rawless, load: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    load("rotated_account", 910_001, 910_002)
    command = ("subjects", "sync", "--from", "rotated_account.customer_id", "--json")
    old = rawless(*command).json
    monkeypatch.setenv(KEY_VARIABLE, FIXED_KEY)

    new = rawless(*command).json

    counts = {"from": "rotated_account.customer_id", "new": 2, "known": 0, "without_id": 0, "unusable": 0}
    assert (old, new) == ({**counts, "subject_key_id": old["subject_key_id"]}, {**counts, **new})
    assert old["subject_key_id"] != new["subject_key_id"]
    assert rawless("sql", COUNT + "WHERE customer_id LIKE '9100%'", "--json").json == [{"n": 4, "persons": 2}]


MISTAKES = {
    "no column": (["--from", "told_account.id"], "The table told_account has no column id: it has customer_id"),
    "no table": (["--from", "nowhere.id"], "There is no table nowhere"),
    "no source": ([], "Missing option '--from'"),
    "not a column": (["--from", "told_account"], "--from is 'told_account', but must be TABLE.COLUMN"),
    "the map": (["--from", "subjects.subject_map_v1.customer_id"], "which is the table that a sync fills"),
    "no warehouse file": (["--from", "a.b", "--warehouse", "no.yaml"], "The warehouse file no.yaml does not exist"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_by_one_sentence_and_exit_code_2(
    name: str, rawless: Rawless, load: Callable[..., None]
) -> None:
    load("told_account", SECRET)
    arguments, sentence = MISTAKES[name]

    done = rawless("subjects", "sync", *arguments)

    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert SECRET not in done.err


def test_a_table_that_requires_a_partition_filter_is_refused(
    rawless: Rawless, load: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    load("filtered_account", SECRET)
    shown = bigquery.Client.get_table

    def filtered(client: bigquery.Client, table: Any, **options: Any) -> bigquery.Table:
        live = shown(client, table, **options)
        live.require_partition_filter = True  # the local BigQuery forgets it
        return live

    monkeypatch.setattr(bigquery.Client, "get_table", filtered)

    done = rawless("subjects", "sync", "--from", "filtered_account.customer_id")

    assert done.code == 2
    assert "filtered_account can only be read with a partition filter; name a view that has one" in done.err


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_an_internal_error_shows_no_id(
    rawless: Rawless, load: Callable[..., None], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Nor does a library that exits with a text, which the interpreter would print."""
    load("faulty_account", SECRET)

    def fail(*_: object) -> None:
        raise error(SECRET)

    monkeypatch.setattr("rawless.privacy.pseudonyms.PseudonymKey.pseudonym", fail)

    done = rawless("subjects", "sync", "--from", "faulty_account.customer_id")

    assert done.code == 1
    assert SECRET not in done.out + done.err


def test_a_new_local_key_keeps_persons_and_the_former_key(
    stack: object, rawless: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(os.environ["RAWLESS_HOME"])
    before = (home / "pseudonym.key").read_bytes() if (home / "pseudonym.key").exists() else None
    for file in home.glob("pseudonym.*"):
        file.unlink()
    file = tmp_path / "customers.jsonl"
    file.write_text('{"customer_id": "rotated-1"}\n')
    assert rawless("load", "rotated_account", file, "--text", "customer_id", "--replace").code == 0
    first = rawless("subjects", "sync", "--from", "rotated_account.customer_id", "--json").json["subject_key_id"]
    (home / "pseudonym.key.new").write_bytes(base64.b64encode(bytes(range(32))))  # of a rotation that was killed

    rotated = rawless("subjects", "rotate", "--leave-outside", "--json")

    assert rotated.code == 0, rotated.err
    second = rotated.json["subject_key_id"]
    assert base64.b64decode((home / "pseudonym.key").read_bytes()) == bytes(range(32))
    assert {each.name for each in home.glob("pseudonym.*")} == {"pseudonym.key", f"pseudonym.{first}.key"}
    rows = rawless(
        "sql",
        "SELECT subject_key_id, person_key FROM subjects.subject_map_v1 WHERE customer_id = 'rotated-1'",
        "--json",
    ).json
    assert {row["subject_key_id"] for row in rows} == {first, second}
    assert len({row["person_key"] for row in rows}) == 1
    monkeypatch.setenv(KEY_VARIABLE, FIXED_KEY)
    assert "unset it" in rawless("subjects", "rotate").err
    if before:
        (home / "pseudonym.key").write_bytes(before)
