"""`rawless audit readers`, as the privacy office calls it."""

from collections.abc import Callable

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
