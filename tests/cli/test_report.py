"""`rawless report dataset` writes a report on a snapshot and its heads."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Outcome
from tests.shop import Shop

Rawless = Callable[..., Outcome]


@pytest.fixture(scope="module")
def shop(shop: Shop) -> Shop:
    """A shop with two snapshots and a head file."""
    shop.build(dataset="pictured")
    shop.build(dataset="other", rules=[])
    file = shop.folder / "head.yaml"
    file.write_text(yaml.safe_dump({"head": "pictured_head", "snapshot": "pictured", "kind": "linear", "epochs": 3}))
    return shop


def test_a_report_on_a_snapshot_and_its_head(rawless: Rawless, shop: Shop, home: Path, tmp_path: Path) -> None:
    trained = rawless("head", "train", shop.folder / "head.yaml", "--json").json
    alone = rawless("report", "dataset", "pictured", "--json").json
    heads = ("--head", "pictured_head", "--head", "pictured_head@1")
    written = rawless("report", "dataset", trained["snapshot_id"], *heads, "--to", tmp_path / "page.html")
    refused = rawless("report", "dataset", "other", "--head", "pictured_head")

    assert alone == {"file": str(home / "reports" / f"{trained['snapshot_id']}.html"),
                     "snapshot_id": trained["snapshot_id"], "heads": []}  # fmt: skip
    assert "Head pictured_head@1" not in Path(alone["file"]).read_text()
    assert written.code == 0
    assert str(tmp_path / "page.html") in written.out
    assert written.err == ""
    assert (tmp_path / "page.html").read_text().count("<h2>Head pictured_head@1</h2>") == 1
    assert refused.code == 2
    assert f"The head pictured_head@1 was trained on {trained['snapshot_id']}, not on " in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "There is no snapshot and no dataset 'nothing'"),
        (("pictured", "--head", "nothing"), "There is no head 'nothing'"),
        (("pictured", "--to", "/proc/page.html"), "The report /proc/page.html cannot be written"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(
    rawless: Rawless, shop: Shop, arguments: tuple[str, ...], words: str
) -> None:
    refused = rawless("report", "dataset", *arguments)

    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1
