"""`rawless audit readers` and `inspect`, as the privacy office calls them."""

from collections.abc import Callable
from pathlib import Path

from rawless.warehouse.account import user_name
from tests.cli.conftest import Outcome

Rawless = Callable[..., Outcome]


def test_who_read_the_embeddings_is_listed_without_what_was_asked(rawless: Rawless) -> None:
    rawless("sql", "SELECT event_id FROM embedding_event_v1 WHERE event_id = 'Rosalind-0815'")

    shown = rawless("audit", "readers")
    listed = rawless("audit", "readers", "--table", "events.embedding_event_v1", "--since", "1h", "--json")

    assert (shown.code, listed.code) == (0, 0)
    assert "Persons" in shown.out
    assert {(row["account"], row["table_name"], row["by_person"]) for row in listed.json} == {
        (user_name(), "events.embedding_event_v1", True)
    }
    assert "read" in {row["action"] for row in listed.json}
    assert "Rosalind" not in shown.out + shown.err + listed.out


def test_a_time_that_is_none_is_refused(rawless: Rawless) -> None:
    done = rawless("audit", "readers", "--since", "yesterday")

    assert done.code == 2
    assert done.err == (
        "Error: --since is not a duration: a duration is a whole number and a unit, such as 30s, 15m, 12h, 90d, 2w or "
        "10y.\n"
    )


def test_inspect_prints_a_link_to_an_event_that_was_ingested(
    rawless: Rawless, tiny_file: Path, tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    stream = tmp_path / "tickets.yaml"
    stream.write_text(
        f"stream: tickets\nmodality: text\nencoders: ['{tiny_file}']\nevent_id: {{pattern: '[a-z0-9-]{{1,64}}'}}\n"
        "inspect: {url: 'https://tickets.example.com/{event_id}'}\n"
    )
    events = write_events({"stream": "tickets", "event_id": "t-1"})
    assert rawless("ingest", "--stream", stream, "--source", f"jsonl:{events}").code == 0

    done = rawless("inspect", "t-1", "--stream", stream, "--reason", "data_quality", "--ticket", "PRIV-7")

    assert (done.code, done.out) == (0, "https://tickets.example.com/t-1\n")
    (row,) = rawless("sql", "SELECT * FROM audit.inspection_v1 WHERE stream = 'tickets'", "--json").json
    assert (row["event_id"], row["reason"], row["ticket"]) == ("t-1", "data_quality", "PRIV-7")
    assert row["inspection_id"] in done.err


def test_a_table_without_any_access_is_not_taken_for_one_that_nobody_read(rawless: Rawless) -> None:
    done = rawless("audit", "readers", "--table", "embeding_event_v1")

    assert (done.code, done.out.split()) == (0, ["no", "rows"])
    assert "Warning: No access to embeding_event_v1 since" in done.err
    assert "a misspelt name has none either: check it." in done.err
