"""`rawless head` trains, shows and exports heads without an encoder."""

import csv
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from rawless.heads.session import open_head
from rawless.warehouse.append import append_all
from tests.cli.conftest import Outcome
from tests.shop import AS_OF, EVENTS, LABEL, Shop, make_row
from tests.streams import ANY_ID

Rawless = Callable[..., Outcome]


@pytest.fixture(scope="module")
def shop(shop: Shop) -> Shop:
    """A shop with a snapshot to train on."""
    shop.build(dataset="trained_on")
    return shop


@pytest.fixture
def write(shop: Shop) -> Callable[..., Path]:
    """Return a function that writes a head file with some fields changed."""

    def file(**fields: object) -> Path:
        path = shop.folder / "head.yaml"
        path.write_text(yaml.safe_dump({"head": "cat_or_dog", "snapshot": "trained_on", "kind": "linear"} | fields))
        return path

    return file


def test_a_head_file_becomes_a_folder_that_predicts(
    rawless: Rawless, write: Callable[..., Path], tmp_path: Path
) -> None:
    first = rawless("head", "train", write(), "--json").json
    second = rawless("head", "train", write(kind="mlp"), "--json").json
    listed = rawless("head", "list", "--encoder", "f" * 64, "--json").json
    shown = rawless("head", "show", "cat_or_dog@1", "--json").json
    exported = rawless("head", "export", "cat_or_dog", "--to", tmp_path / "head", "--json").json
    answer = open_head(tmp_path / "head").answer(embedding=np.ones((3, 8), np.float32))

    assert (first["version"], second["version"]) == (1, 2)
    assert first["snapshot_id"] == second["snapshot_id"] == shown["snapshot_id"]
    assert [each["head"] for each in listed][:2] == ["cat_or_dog@2", "cat_or_dog@1"]
    assert shown["kind"] == "linear"
    assert shown["evaluation"]["measures"] == first["evaluation"]["measures"]
    assert exported["digest"] == second["digest"]
    np.testing.assert_allclose(answer["probabilities"].sum(1), 1, atol=1e-6)


def test_only_the_owner_can_read_what_commands_and_servers_write_into_the_home_folder(
    rawless: Rawless, write: Callable[..., Path], write_events: Callable[..., Path], home: Path, tiny_file: Path
) -> None:
    earlier = {*(home / "heads").rglob("*")}  # also those of other tests, which are not written by commands
    stream = tiny_file.with_name("stream.yaml")
    stream.write_text(f"stream: message\nmodality: text\nencoders: [{tiny_file}]\nevent_id: {ANY_ID}\n")

    for command in (
        ["ingest", "--stream", stream, "--source", f"jsonl:{write_events({})}", "--device", "cpu"],
        ["dataset", "build", write().with_name("dataset.yaml")],
        ["head", "train", write(head="private")],
        ["head", "deploy", "private"],
    ):
        done = rawless(*command)
        assert done.code == 0, done.err

    files = {path for path in home.rglob("*") if path.is_file()}
    assert {"local.log", "bqemulator.duckdb", "head.onnx", "deployed.json"} <= {path.name for path in files}
    assert [path for path in files - earlier if stat.S_IMODE(path.stat().st_mode) != 0o600] == []


def test_the_printed_output(rawless: Rawless, write: Callable[..., Path]) -> None:
    trained = rawless("head", "train", write(head="read"))
    shown = rawless("head", "show", "read", "--snapshot", "trained_on")
    snapshot_id = rawless("head", "show", "read", "--json").json["snapshot_id"]

    assert trained.code == shown.code == 0
    assert trained.out.startswith(f"The newest snapshot of trained_on is {snapshot_id}, as of 2026-02-01 00:00 UTC.\n")
    assert f"over tiny@1.0.0, trained on {snapshot_id}." in trained.out
    for words in ("read@1: linear over tiny@1.0.0", "accuracy", "nearest_centroid", "probabilities: float32"):
        assert words in trained.out
    assert "Warning: Some classes have fewer than 50 rows in train: " in trained.err
    assert f"On trained_on ({snapshot_id}): " in shown.out
    assert "Left out" not in shown.out


def test_the_features_and_what_they_add_are_printed(rawless: Rawless, shop: Shop, write: Callable[..., Path]) -> None:
    persons = [f"person-{number}" for number in range(40)]
    at = [AS_OF - timedelta(days=400)] * 40
    shop.load("account_plan", {"subject_key": persons, "plan": ["free", "gold"] * 20, "booked_at": at})
    plan = {"table": "account_plan", "value": "plan", "known_at": "booked_at", "classes": ["free", "gold"]}
    snapshot = shop.build(dataset="with_plans", features={"plan": plan}).manifest.snapshot_id
    printed = rawless("head", "train", write(head="planned", snapshot=snapshot, epochs=1)).out

    assert "features: float32 ['batch', 1]" in printed
    assert "Features beside the vector: plan (free, gold)." in printed
    assert "Without the features its accuracy is " in printed


def test_suspected_mislabels_are_written_for_reviewers(
    rawless: Rawless, write: Callable[..., Path], tmp_path: Path
) -> None:
    suspects = rawless("head", "train", write(head="reviewed"), "--json").json["evaluation"]["suspects"]
    done = rawless("head", "show", "reviewed", "--to", tmp_path / "suspects.csv")
    refused = rawless("head", "show", "reviewed", "--to", tmp_path)

    assert (done.code, refused.code) == (0, 2)
    with (tmp_path / "suspects.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["event_id", "label", "suggested", "suspicion"]
    assert [[*names, float(suspicion)] for *names, suspicion in rows] == suspects
    assert suspects
    assert f"{len(suspects):,} suspected mislabels" in done.out


def test_a_head_without_its_folder_is_a_user_error(
    rawless: Rawless, write: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.rmtree(rawless("head", "train", write(head="gone"), "--json").json["folder"])

    for command in (
        ("head", "show", "gone"),
        ("head", "export", "gone", "--to", tmp_path / "head"),
        ("report", "dataset", "trained_on", "--head", "gone"),
    ):
        refused = rawless(*command)
        assert refused.code == 2
        assert "The head gone@1 is registered, but its folder " in refused.err


def test_a_snapshot_of_another_encoder_is_refused(rawless: Rawless, shop: Shop, write: Callable[..., Path]) -> None:
    rawless("head", "train", write(head="strict"))
    shop.upload(range(120), stream="foreign", encoder="huge", encoder_fingerprint="9" * 64)
    shop.build(dataset="foreign", stream="foreign", encoder="huge@1.0.0")
    refused = rawless("head", "show", "strict", "--snapshot", "foreign")

    assert refused.code == 2
    assert "takes vectors of tiny@1.0.0" in refused.err


def test_a_version_that_is_worse_than_the_live_one_is_deployed_only_by_force(
    rawless: Rawless, shop: Shop, write: Callable[..., Path]
) -> None:
    signs = ["cat" if make_row(number, {}).embedding[0] > 0 else "dog" for number in range(EVENTS)]
    ids, at = [f"e-{number}" for number in range(EVENTS)], [AS_OF - timedelta(minutes=5)] * EVENTS
    shop.load("signs", {"event_id": ids, "value": signs, "confirmed_at": at})
    (shop.folder / "labels" / "sign.sql").write_text(LABEL.replace("FROM confirmed", "FROM signs AS confirmed"))
    sources = [{"table": "signs", "known_at": "confirmed_at"}]
    label = {"query": "sign", "classes": ["cat", "dog"]}
    shop.build(dataset="signs", label=label, sources=sources, rules=None)
    rawless("head", "train", write(head="sign", snapshot="signs", learning_rate=0.1))
    rawless("head", "train", write(head="sign", snapshot="signs", epochs=1, learning_rate=1e-6))

    first = rawless("head", "deploy", "sign@1")
    refused = rawless("head", "deploy", "sign@2")
    listed = {each["head"]: each["live"] for each in rawless("head", "list", "--json").json}
    forced = rawless("head", "deploy", "sign@2", "--force", "--json")
    better = rawless("head", "deploy", "sign@1")

    assert (first.code, first.err) == (0, "")
    assert refused.code == 2
    assert "sign@2 is worse than the live sign@1: its accuracy on " in refused.err
    assert "Use --force to deploy it nevertheless." in refused.err
    assert (listed["sign@1"], listed["sign@2"]) == (True, False)
    assert forced.json["comparison"]["difference"]["high"] < 0
    assert "It is deployed because of --force." in forced.err
    assert (better.code, better.err) == (0, "")
    assert "Compared with the version before, its accuracy on " in better.out


def test_two_versions_are_compared_with_a_verdict_classes_and_the_rows_that_change(
    rawless: Rawless, write: Callable[..., Path], tmp_path: Path
) -> None:
    rawless("head", "train", write(head="rival"))
    rawless("head", "train", write(head="rival", epochs=1, learning_rate=0.5))
    file = tmp_path / "changed.csv"

    printed = rawless("head", "compare", "rival@1", "rival@2", "--to", file)
    found = rawless("head", "compare", "rival@1", "rival@2", "--snapshot", "trained_on", "--json").json
    itself = rawless("head", "compare", "rival", "rival@2")
    folder = rawless("head", "compare", "rival@1", "rival@2", "--to", tmp_path)

    assert printed.code == 0, printed.err
    assert printed.out.startswith(found["verdict"])
    for words in ("accuracy", "Classes, the largest loss first", "rival@2 fixes "):
        assert words in printed.out
    with file.open(newline="") as text:
        assert list(csv.DictReader(text)) == found["changed"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {each["class"] for each in found["classes"]} == {"cat", "dog"}
    assert found["differences"][0]["name"] == "accuracy"
    assert (itself.code, folder.code) == (2, 2)
    assert "rival@2 cannot be compared with itself: name two heads, or two versions of one." in itself.err
    assert "cannot be written" in folder.err


def test_a_head_shows_its_classes_and_an_older_one_what_is_known_of_them(
    rawless: Rawless, write: Callable[..., Path]
) -> None:
    trained = rawless("head", "train", write(head="classes"), "--json").json
    shown = rawless("head", "show", "classes", "--json").json["classes_measured"]
    file = Path(trained["folder"]) / "evaluation.json"
    stored = json.loads(file.read_text())
    assert len(stored["curves"]) == 2
    del stored["curves"]
    file.write_text(json.dumps(stored))

    older = rawless("head", "show", "classes")
    older_json = rawless("head", "show", "classes", "--snapshot", "trained_on", "--json").json

    assert [each["class"] for each in shown] == [each["class"] for each in older_json["classes_measured"]]
    assert {"precision", "recall", "f1", "roc_auc", "average_precision"} <= set(shown[0])
    assert shown[0]["f1"]["value"] <= shown[1]["f1"]["value"]
    assert "Classes, the lowest F1 first, with its" in older.out
    assert "average precision of its classes were not stored: --snapshot measures them." in older.out
    for before, after in zip(shown, older_json["on_classes_measured"], strict=True):
        assert before["average_precision"]["value"] == pytest.approx(after["average_precision"]["value"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"snapshot": "nothing"}, "There is no snapshot and no dataset 'nothing'"),
        ({"kind": "pair"}, "cannot be trained on"),
        ({"kind": "forest"}, "kind is 'forest'"),
        ({"hidden": [3]}, "hidden belongs to kinds mlp and pair"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"tenant": "channel"}, "tenant belongs to kind query_transform"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(
    rawless: Rawless, write: Callable[..., Path], fields: dict[str, object], words: str
) -> None:
    refused = rawless("head", "train", write(**fields))

    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1


_TRAIN = """
import sys
from rawless.cli.main import run
code = run(["head", "train", sys.argv[1]])
encoders = {"encoders.batch_encoder", "encoders.networks", "torchvision", "transformers"}
print(code, sorted(encoders & set(sys.modules)))
"""


def test_training_imports_no_encoder(shop: Shop, write: Callable[..., Path]) -> None:
    command = [sys.executable, "-c", _TRAIN, str(write(head="alone"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_head_shows_how_its_domain_separates_a_snapshot_that_is_out_of_scope(
    rawless: Rawless, write: Callable[..., Path], shop: Shop
) -> None:
    far = np.full(8, 40.0, np.float32)
    for number in range(20):
        fields = {"stream": "chatter", "event_id": f"c-{number}", "embedding": far + number}
        append_all(shop.warehouse, [make_row(number, fields)])
    shop.load(
        "confirmed_chatter",
        {
            "event_id": [f"c-{number}" for number in range(20)],
            "value": ["cat" if number % 2 else "dog" for number in range(20)],
            "confirmed_at": [AS_OF - timedelta(minutes=5)] * 20,
        },
    )
    (shop.folder / "labels" / "chatter.sql").write_text(LABEL.replace("confirmed", "confirmed_chatter"))
    shop.build(
        dataset="chatter",
        stream="chatter",
        sources=[{"table": "confirmed_chatter", "known_at": "confirmed_at"}],
        label={"query": "chatter", "classes": ["cat", "dog"]},
        rules=None,
    )
    domain = {"quantile": 0.8, "out_of_scope": "chatter"}

    trained = rawless("head", "train", write(head="guarded", domain=domain), "--json").json
    shown = rawless("head", "show", "guarded", "--out-of-scope", "chatter", "--json").json
    text = rawless("head", "show", "guarded").out
    unguarded = rawless("head", "train", write(head="unguarded", domain="none"), "--json").json
    refused = rawless("head", "show", "unguarded", "--out-of-scope", "chatter")
    own = rawless("head", "show", "guarded", "--out-of-scope", "trained_on")

    found = {measure["name"]: measure["value"] for measure in shown["out_of_scope"]["measures"]}
    assert found["roc_auc_of_distance"] == found["abstention_out_of_scope"] == 1.0
    assert found["abstention_on_test"] == trained["evaluation"]["abstention"][1] < 0.5
    assert 0 <= found["roc_auc_of_confidence"] <= 1
    assert shown["out_of_scope"]["rows"] == 20
    assert trained["evaluation"]["out_of_scope"][0] == shown["out_of_scope"]["snapshot_id"]
    assert "Out of domain: distances above" in text
    assert "Out of scope: 20 rows of" in text
    assert unguarded["domain"] is None
    assert (refused.code, refused.err.strip().split(": ")[-1]) == (2, "train it again.")
    assert own.code == 2
    assert "so its rows are in scope" in own.err
