"""`rawless report dataset`: from a snapshot and its heads to a page."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Outcome
from tests.shop import Shop

Rawless = Callable[..., Outcome]


@pytest.fixture(scope="module")
def shop(shop: Shop) -> Shop:
    """With two snapshots, and a head's file."""
    shop.build(dataset="pictured")
    shop.build(dataset="other", rules=[])
    file = shop.folder / "head.yaml"
    file.write_text(yaml.safe_dump({"head": "pictured_head", "snapshot": "pictured", "kind": "linear", "epochs": 3}))
    return shop


def test_a_page_of_a_snapshot_and_its_head(rawless: Rawless, shop: Shop, home: Path, tmp_path: Path) -> None:
    trained = rawless("head", "train", shop.folder / "head.yaml", "--json").json
    alone = rawless("report", "dataset", "pictured", "--json").json
    told = rawless("report", "dataset", trained["snapshot_id"], "--head", "pictured_head", "--head", "pictured_head@1",
                   "--to", tmp_path / "page.html")  # fmt: skip
    refused = rawless("report", "dataset", "other", "--head", "pictured_head")

    assert alone == {"file": str(home / "reports" / f"{trained['snapshot_id']}.html"),
                     "snapshot_id": trained["snapshot_id"], "heads": []}  # fmt: skip
    assert "Head pictured_head@1" not in Path(alone["file"]).read_text()
    assert told.code == 0
    assert str(tmp_path / "page.html") in told.out
    assert told.err == ""
    assert (tmp_path / "page.html").read_text().count("<h2>Head pictured_head@1</h2>") == 1
    assert refused.code == 2
    assert f"The head pictured_head@1 was trained on {trained['snapshot_id']}, not on " in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "There is no snapshot and no dataset 'nothing'"),
        (("pictured", "--head", "nothing"), "There is no head 'nothing'"),
        (("pictured", "--to", "/proc/page.html"), "The page /proc/page.html cannot be written"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    rawless: Rawless, shop: Shop, arguments: tuple[str, ...], words: str
) -> None:
    refused = rawless("report", "dataset", *arguments)

    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1
