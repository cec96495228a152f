"""`rawless status`: the warehouse on one screen and what to do next, without making a home folder."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rawless.overview.audits import Audits
from rawless.overview.heads import HeadSummary, HeadVersion
from rawless.overview.next_steps import NextStep, next_steps
from rawless.overview.streams import StreamEncoder, StreamSummary
from rawless.warehouse.append import append_all
from rawless.warehouse.rows import RejectionRow
from tests.cli.conftest import Outcome
from tests.command_lines import problem
from tests.shop import Shop

Rawless = Callable[..., Outcome]
NOW = datetime.now(UTC)


def _summary(**fields: object) -> StreamSummary:
    encoder = StreamEncoder("tiny@1.0.0", "f" * 64, None, 9, NOW)
    values = {"stream": "upload", "events": 9, "recent_events": 9, "served_events": 0, "last_at": NOW,
              "last_logged_at": NOW, "rejections": {}, "recent_rejections": 0, "last_rejected_at": None, "days": (),
              "encoders": (encoder,)} | fields  # fmt: skip
    return StreamSummary(**values)  # type: ignore[arg-type]


def test_streams_datasets_and_what_to_do_next_are_on_one_screen(rawless: Rawless, shop: Shop) -> None:
    at = NOW - timedelta(hours=1)
    append_all(
        shop.warehouse, [RejectionRow("upload", None, None, None, "1", "parse", "empty_text", "<1000", None, at)]
    )
    snapshot = shop.build().manifest

    outcome = rawless("status")

    assert outcome.code == 0, outcome.err
    assert "upload rejected: empty_text 1." in outcome.out
    assert "uploads has a snapshot, but no head." in outcome.out
    assert "What next:" in outcome.out
    found = rawless("status", "--json").json
    (stream,) = [each for each in found["streams"] if each["stream"] == "upload"]
    assert (stream["events"], stream["rejections"]) == (120, {"empty_text": 1})
    (dataset,) = [each for each in found["datasets"] if each["dataset"] == snapshot.dataset]
    assert sum(dataset["snapshots"][0]["rows_by_split"].values()) == snapshot.rows


def test_events_before_the_period_are_not_counted(rawless: Rawless, shop: Shop) -> None:
    found = rawless("status", "--since", "1s", "--json").json

    assert [each for each in found["streams"] if each["events"]] == []
    assert rawless("status", "--since", "yesterday").err.startswith("Error: --since is not a duration")


@pytest.mark.parametrize("named", [True, False])
def test_without_a_home_folder_none_is_made(
    rawless: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAWLESS_HOME")
    if named:
        monkeypatch.setenv("RAWLESS_HOME", str(tmp_path / "home"))

    outcome = rawless("status")

    assert outcome.code == 0
    assert "There is no home folder" in outcome.out
    assert "rawless init --from FILE" in outcome.out
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_makes_a_home_folder_says_so_once(
    rawless: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAWLESS_HOME")

    assert f"{tmp_path / '.rawless'} is new, and has a local warehouse" in rawless("local", "status").err
    assert rawless("local", "status").err == ""


def test_each_step_is_a_command_that_exists() -> None:
    version = HeadVersion(2, "linear", None, "tiny@1.0.0", "f" * 64, {}, NOW, live=False)
    stream = _summary(rejections={"empty_text": 5}, recent_rejections=5)
    steps = [
        *next_steps((), (), (), Audits((), (), ())),
        *next_steps((stream,), (), (HeadSummary("topic", (version,)),), Audits((), (), ())),
    ]

    assert [step.command.split()[1] for step in steps] == ["init", "replay", "dataset", "head", "audit"]
    assert NextStep(steps[3].why, "rawless head deploy topic@2") in steps
    assert [problem(step.command) for step in steps] == [None] * len(steps)


def test_a_few_rejections_among_many_events_are_no_reason_to_act() -> None:
    quiet = _summary(recent_events=1000, recent_rejections=3, rejections={"empty_text": 3})

    assert "replay" not in "".join(step.command for step in next_steps((quiet,), (), (), Audits((), (), ())))
