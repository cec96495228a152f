"""`rawless erase` on the local stack: what it prints and writes, and that ids of persons are in none of it."""

import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawless.audit.search import Search

Rawless = Callable[..., Any]
SECRET = "unguessable-customer-51f3"
EVENTS = "SELECT event_id FROM events.embedding_event(TIMESTAMP '2000-01-01', TIMESTAMP '2100-01-01') WHERE "


@pytest.fixture
def customers(
    rawless: Rawless, tiny_file: Path, tmp_path: Path, write_events: Callable[..., Path]
) -> Callable[[str], Path]:
    """Return a function that ingests an event of two customers, and returns a file with the id of the first."""

    def put(first: str) -> Path:
        stream = tmp_path / "stream.yaml"
        stream.write_text(
            f"stream: message\nmodality: text\nencoders: ['{tiny_file}']\nevent_id: {{pattern: '[a-z0-9-]{{1,64}}'}}\n"
        )
        events = write_events(
            {"event_id": f"of-{first}", "subject_id": first}, {"event_id": f"kept-{first}", "subject_id": "other"}
        )
        assert rawless("ingest", "--stream", stream, "--source", f"jsonl:{events}").code == 0
        file = tmp_path / "ids.txt"
        file.write_text(f"{first}\n")
        return file

    return put


def test_a_person_is_planned_then_erased_and_certified_without_an_id(
    rawless: Rawless, customers: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = customers(SECRET)
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    monkeypatch.setenv("TMPDIR", str(left))
    certificate = tmp_path / "certificate.json"

    plan = rawless("erase", "--subjects-file", file, "--plan", "--json")
    still = rawless("sql", f"{EVENTS} event_id LIKE '%{SECRET}' ORDER BY event_id", "--json").json
    erased = rawless("erase", "--subjects-file", file, "--certificate", certificate)
    gone = rawless("sql", f"{EVENTS} event_id LIKE '%{SECRET}'", "--json").json

    assert plan.json["persons"] == plan.json["events"] == 1
    assert plan.json["findings"] == [{"kind": "table", "name": "embedding_event_v1", "action": "delete", "rows": 1}]
    assert [row["event_id"] for row in still] == [f"kept-{SECRET}", f"of-{SECRET}"]
    assert [row["event_id"] for row in gone] == [f"kept-{SECRET}"]
    assert erased.code == 0, erased.err
    assert "1 table embedding_event_v1" in erased.out
    assert "Business tables" in erased.out
    written = json.loads(certificate.read_text())["certificates"][0]
    assert written["rows"] == 1
    assert certificate.stat().st_mode & 0o077 == 0
    output = "\n".join([plan.out, plan.err, erased.out, erased.err, certificate.read_text()])
    search = Search([SECRET.encode()])
    assert search.in_bytes(output.encode(), "output") | search.in_folder(left) == set()


def test_ids_come_from_stdin_but_never_from_an_argument(
    rawless: Rawless, customers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    customers("stdin-1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n stdin-1 \r\n")))

    refused = rawless("erase", "stdin-1")
    erased = rawless("erase", "--subjects-file", "-", "--subject-form", "trim", "--json")

    assert refused.code == 2
    assert erased.json["certificates"][0]["rows"] == 1


def test_mistakes_are_answered_with_one_sentence_and_no_id(rawless: Rawless, tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text(f"fine\n{SECRET}\t\n")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")
    for arguments, words in (
        (("--subjects-file", file), "Line 2 of the file of subjects is no id"),
        (("--subjects-file", empty), "There is no id in the file of subjects"),
        (("--subjects-file", tmp_path / "missing"), "cannot be read (FileNotFoundError)"),
        (("--event", "e-1"), "An event is named by --event and --stream together."),
        ((), "Name one of --subjects-file, --event and --again."),
        (("--again", "--plan"), "--plan goes with"),
        (("--subjects-file", file, "--plan", "--certificate", "c.json"), "--certificate goes without --plan"),
        (("--again", "--certificate", tmp_path / "no" / "c.json"), "but its folder does not exist: create it first."),
    ):
        outcome = rawless("erase", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert words in outcome.err
        assert SECRET not in outcome.err
        assert len(outcome.err.splitlines()) == 1


def test_an_id_that_nothing_has_is_not_certified_as_if_it_had_been_erased(
    rawless: Rawless, customers: Callable[[str], Path]
) -> None:
    misspelt = customers("right-1").with_name("misspelt.txt")
    misspelt.write_text("wrong-1\n")

    outcomes = [rawless("erase", "--subjects-file", misspelt, *plan) for plan in (["--plan"], [])]
    event = rawless("erase", "--event", SECRET, "--stream", "message")
    stored = rawless("sql", "SELECT event_id FROM audit.event_tombstone_v1", "--json").json

    for outcome in outcomes:
        assert "No row was found. Unless all were erased before, compare the ids" in outcome.out
        assert "copies" not in outcome.out
    assert (event.code, event.out) == (2, "")
    assert event.err == "Error: The warehouse has no row of this event: check --event and --stream.\n"
    assert SECRET not in {row["event_id"] for row in stored}
