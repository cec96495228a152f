"""`rawless report dataset` writes a report on a snapshot and its heads, `report privacy` one for the privacy office.

`report encoder` writes one on the versions of an encoder.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from encoders.spec import EncoderSpec
from tests.cli.conftest import Outcome
from tests.shop import SPEC, Shop

Rawless = Callable[..., Outcome]


@pytest.fixture(scope="module")
def shop(shop: Shop) -> Shop:
    """A shop with two snapshots and a head file."""
    shop.build(dataset="pictured")
    shop.build(dataset="other", rules=[])
    file = shop.folder / "head.yaml"
    file.write_text(yaml.safe_dump({"head": "pictured_head", "snapshot": "pictured", "kind": "linear", "epochs": 3}))
    return shop


@pytest.mark.full
def test_a_report_on_a_snapshot_and_its_head(rawless: Rawless, shop: Shop, home: Path, tmp_path: Path) -> None:
    trained = rawless("head", "train", shop.folder / "head.yaml", "--json").json
    alone = rawless("report", "dataset", "pictured", "--json").json
    heads = ("--head", "pictured_head", "--head", "pictured_head@1")
    written = rawless("report", "dataset", trained["snapshot_id"], *heads, "--to", tmp_path / "page.html")
    refused = rawless("report", "dataset", "other", "--head", "pictured_head")

    assert alone == {"file": str(home / "reports" / f"{trained['snapshot_id']}.html"),
                     "snapshot_id": trained["snapshot_id"], "heads": [], "compared": []}  # fmt: skip
    assert "Head pictured_head@1" not in Path(alone["file"]).read_text()
    assert written.code == 0
    assert str(tmp_path / "page.html") in written.out
    assert written.err == ""
    assert (tmp_path / "page.html").read_text().count("<h2>Head pictured_head@1</h2>") == 1
    assert refused.code == 2
    assert f"The head pictured_head@1 was trained on {trained['snapshot_id']}, not on " in refused.err


@pytest.mark.full
def test_heads_that_are_reported_together_are_compared_with_the_first(
    rawless: Rawless, shop: Shop, tmp_path: Path
) -> None:
    shop.build(dataset="compared", split={**SPEC["split"], "near_duplicates": {"cosine": 0.9}})
    file, heads = tmp_path / "head.yaml", []
    for kind, epochs in (("linear", 3), ("mlp", 30)):
        file.write_text(yaml.safe_dump({"head": "both", "snapshot": "compared", "kind": kind, "epochs": epochs}))
        version = rawless("head", "train", file, "--json").json["version"]
        heads += ["--head", f"both@{version}"]
    page = tmp_path / "page.html"

    written = rawless("report", "dataset", "compared", *heads, "--duplicates", "--to", page, "--json")
    compared = rawless("head", "compare", "both@1", "both@2", "--json").json
    refused = rawless("report", "dataset", "pictured", "--duplicates")

    assert written.code == 0, written.err
    assert written.json["compared"] == [compared["verdict"]]
    text = page.read_text()
    assert "both@1 and both@2" in text
    assert "Near duplicates that were left out" in text
    assert refused.code == 2
    assert "does not drop near duplicates" in refused.err


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


def test_a_report_on_privacy_as_a_page_and_as_json(rawless: Rawless, stream_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "privacy.html"
    printed = rawless("report", "privacy", "--stream", stream_file, "--json").json
    written = rawless("report", "privacy", "--stream", stream_file, "--since", "30d", "--to", page)

    assert printed["file"] is None
    assert printed["since_days"] == 90
    assert [each["stream"] for each in printed["given"]] == ["message"]
    assert "message has no leakage gate: nothing limits what its embeddings may leak." in [
        finding["sentence"] for finding in printed["findings"]
    ]
    assert written.code == 0
    assert f"Wrote {page}; open it in a browser." in written.out
    assert printed["verdict"] in written.out
    assert page.stat().st_mode & 0o777 == 0o600
    assert printed["verdict"] in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "90"), "--since is not a duration: a duration is a whole number and a unit, such as 30s"),
        (("--stream", "no.yaml"), "The stream file no.yaml does not exist"),
        (("--to", "/proc/page.html"), "The report /proc/page.html cannot be written"),
    ],
)
def test_a_mistake_about_the_report_on_privacy(rawless: Rawless, arguments: tuple[str, ...], words: str) -> None:
    refused = rawless("report", "privacy", *arguments)

    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1


def test_an_encoder_is_reported_with_the_services_of_its_heads(
    rawless: Rawless, tiny_file: Path, tiny_sealed: EncoderSpec, tmp_path: Path
) -> None:
    rawless("encoder", "register", tiny_file)
    (tmp_path / "stream.yaml").write_text(f"stream: texts\nmodality: text\nencoders: [{tiny_file}]\nsubject: none\n")
    (tmp_path / "support.yaml").write_text("heads: {topic: {stream: stream.yaml}}\n")

    outcome = rawless(
        "report", "encoder", "tiny", "--service", tmp_path / "support.yaml", "--to", tmp_path / "page.html", "--json"
    )

    assert outcome.json["versions"][0]["fingerprint"] == tiny_sealed.fingerprint
    assert outcome.json["file"] == str(tmp_path / "page.html")
    assert outcome.json["versions"][0]["services"] == [["support", "topic"]]
    assert "tiny@1.0.0" in (tmp_path / "page.html").read_text()
    assert rawless("report", "encoder", "none").code == 2
