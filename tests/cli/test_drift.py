"""`rawless drift` for a person, a scheduler and a page."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from rawless.warehouse.append import append_all
from tests.cli.conftest import Outcome
from tests.shop import Shop, make_row

Rawless = Callable[..., Outcome]
START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def drifting(shop: Shop) -> Shop:
    """A shop with nine days of a stream, of which the last has other content."""
    for day in range(9):
        at = START + timedelta(days=day, hours=3)
        fields = {"stream": "drifting", "occurred_at": at, "logged_at": at}
        rows = [make_row(2000 + 40 * day + number, fields) for number in range(40)]
        if day == 8:
            rows = [
                make_row(5000 + n, fields | {"embedding": row.embedding + np.float32(3)}) for n, row in enumerate(rows)
            ]
        append_all(shop.warehouse, rows)
    return shop


@pytest.mark.usefixtures("drifting")
def test_the_exit_code_says_whether_anything_drifted(rawless: Rawless, tmp_path: Path) -> None:
    page = tmp_path / "drift.html"
    usual = rawless("drift", "drifting", "--day", "2026-01-12")
    changed = rawless("drift", "drifting", "--since", "2026-01-12", "--report", page, "--json")

    assert usual.code == 0
    assert "drifting, tiny@1.0.0, compared with 280 rows of 7 windows, 2026-01-05 to before 2026-01-12" in usual.out
    assert "No metric is above its threshold." in usual.out
    assert changed.code == 3
    (measured,) = changed.json["encoders"]
    first, second = measured["windows"][:2]
    assert [any(metric["is_alarm"] for metric in each["metrics"]) for each in (first, second)] == [False, True]
    assert measured["windows"][-1]["note"] == "no rows"
    text = page.read_text()
    assert text.count('class="figure"') >= 8
    assert "drifting" in text
    assert "e-50" not in text


def test_a_page_without_the_libraries_for_it_is_refused_before_anything_is_measured(
    rawless: Rawless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawless.report.find_spec", lambda name: None if name == "plotly" else name)
    done = rawless("drift", "drifting", "--report", "drift.html")
    assert (done.code, done.out) == (2, "")
    assert "A report needs plotly" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "no embeddings of the stream nothing"),
        (("drifting", "--window", "6h"), "--window is 6h, but a window is one or several whole days"),
        (("drifting", "--day", "2026-01-12", "--since", "2026-01-12"), "--day and --since are both given"),
        (("drifting", "--day", "2100-01-01"), "has not ended yet"),
        (("drifting", "--day", "2026-01-07"), "less than a week before the window"),
        (
            ("drifting", "--day", "2026-01-12", "--reference", "2026-01-05"),
            "--reference is '2026-01-05', but must be two",
        ),
        (("drifting", "--day", "2026-01-12", "--reference", "2026-01-10..2026-01-20"), "overlap"),
        (("drifting", "--day", "2026-01-12", "--reference", "2026-01-08..2026-01-10"), "at least 200 are needed"),
        (("drifting", "--encoder", "minilm@1.0.0"), "drifting has no embeddings by minilm@1.0.0, only by tiny@1.0.0"),
    ],
)
@pytest.mark.usefixtures("drifting")
def test_mistakes_are_refused_in_one_sentence(rawless: Rawless, arguments: tuple[str, ...], words: str) -> None:
    done = rawless("drift", *arguments)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""
