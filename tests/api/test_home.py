"""A home opens what it is asked for, builds datasets, trains heads, and says what is wrong in a sentence."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import rawless as rw
from rawless.api.home import Home
from rawless.api.snapshot import Snapshot
from rawless.datasets.spec import SPLITS
from rawless.local import home as homes
from rawless.local.stack import Stack
from tests.shop import AS_OF, SPEC, Shop

HEAD = {"head": "cat_or_dog", "snapshot": "uploads", "kind": "linear", "epochs": 5}
few_rows = pytest.mark.filterwarnings("ignore:Some classes have fewer", "ignore:The ", "ignore:A share", "ignore:There")
"""A shop has few rows, of which training warns."""


@pytest.fixture
def opened(shop: Shop, tmp_path: Path) -> Home:
    """A home with the warehouse of a shop."""
    return Home(shop.warehouse, tmp_path / "home")


@pytest.fixture
def built(opened: Home, shop: Shop) -> Snapshot:
    """The snapshot of the shop's dataset."""
    return opened.build(SPEC, folder=shop.folder)


def test_a_home_is_found_as_commands_find_it(stack: Stack, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(homes.HOME_VARIABLE, str(home))

    assert rw.open().folder == home
    assert rw.open().sql("SELECT 1 AS one")["one"].tolist() == [1]
    assert rw.open().bigquery.project == "local-dev"


def test_a_folder_is_a_home_or_has_one(
    stack: Stack, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / homes.NAME).symlink_to(home)
    monkeypatch.setenv(homes.HOME_VARIABLE, str(tmp_path / "another"))

    assert repr(rw.open(home)) == f"Home {home} with the local warehouse"
    assert rw.open(str(tmp_path / "project")).sql("SELECT 1 AS one")["one"].tolist() == [1]
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "The folder . is no home folder and has no folder .rawless"),
        ("missing", "is neither a folder nor a warehouse file ending in .yaml"),
        ("missing.yaml", "missing.yaml does not exist"),
        ("wrong.yaml", "the field project is missing"),
        (3, "open was given a value of type int: give a home folder or a warehouse file"),
    ],
)
def test_what_is_no_home_is_named_and_leaves_nothing(
    where: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yaml").write_text("{}")

    with pytest.raises(rw.UserError, match=re.escape(message)):
        rw.open(Path() if where == "" else where)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.yaml"]


def test_a_dataset_is_built_from_a_file_or_from_its_fields(opened: Home, shop: Shop) -> None:
    file = shop.folder / "uploads.yaml"
    file.write_text(yaml.safe_dump(SPEC))
    built = opened.build(SPEC, folder=shop.folder)

    for again in (opened.build(str(file)), opened.dataset("uploads"), opened.dataset(built.id)):
        assert again.id == built.id
    assert opened.datasets()[["dataset", "snapshot", "rows"]].to_numpy().tolist() == [
        ["uploads", built.id, len(built.to_pandas())]
    ]


def test_as_of_overrides_the_file_and_now_is_the_latest(opened: Home, shop: Shop) -> None:
    before = datetime.now(UTC)
    earlier = opened.build(SPEC, as_of=AS_OF + timedelta(days=1), folder=shop.folder)
    fields = {name: value for name, value in SPEC.items() if name not in ("as_of", "rules")}
    now = opened.build(fields, as_of="now", folder=shop.folder)

    assert earlier.manifest.as_of == AS_OF + timedelta(days=1)
    assert before <= now.manifest.as_of <= datetime.now(UTC)


def test_rows_are_read_for_each_library(built: Snapshot, shop: Shop) -> None:
    hugging_face = pytest.importorskip("datasets")
    rows = built.to_pandas()
    train = built.to_torch("train")
    counts = built.counts.sum()

    assert len(rows) == built.manifest.rows == counts.sum()
    assert set(built.to_pandas("test")["split"]) == {"test"}
    assert len(train) == counts["train"]
    assert isinstance(built.to_hf(), hugging_face.DatasetDict)
    assert {split: len(part) for split, part in built.to_hf().items()} == dict(counts)


def test_the_ledger_says_what_each_rule_removed(built: Snapshot) -> None:
    ledger = built.ledger.set_index("rule")

    assert ledger.loc["exclude_closed_accounts", "removed"] > 0
    assert ledger["left"].iloc[-1] == built.manifest.rows
    assert list(built.counts.columns) == list(SPLITS)
    assert list(built.counts.index) == ["cat", "dog"]


@pytest.mark.full
def test_a_snapshot_is_verified_and_compared(opened: Home, shop: Shop, built: Snapshot) -> None:
    rules = ["exclude_closed_accounts", {"occurred_within": {"days": 30}}]
    smaller = opened.build(SPEC | {"rules": rules}, folder=shop.folder)
    moves = built.diff(smaller)

    assert built.verify().is_equal
    assert set(moves["rule"]) == {"occurred_within"}
    assert len(moves) == built.manifest.rows - smaller.manifest.rows
    assert list(built.diff(built.id).columns) == list(moves.columns)
    with pytest.raises(rw.UserError, match="The other snapshot is of type int"):
        built.diff(3)  # type: ignore[arg-type]


@few_rows
def test_a_head_is_trained_opened_and_answers_what_it_was_evaluated_on(
    opened: Home, built: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "head.yaml").write_text(yaml.safe_dump(HEAD))
    first, second = opened.train(HEAD), opened.train(tmp_path / "head.yaml")
    test = built.to_pandas("test")
    accuracy = (first.predict(test)["prediction"] == test["label"]).mean()

    assert (first.manifest.version, second.manifest.version) == (1, 2)
    assert opened.head("cat_or_dog").manifest == second.manifest
    assert opened.head("cat_or_dog@1").manifest == rw.head(first.folder).manifest == first.manifest
    assert first.evaluation is not None
    assert accuracy == pytest.approx(first.evaluation.main.value)
    assert opened.heads()["version"].tolist() == [2, 1]
    assert "accuracy" in repr(first)
    assert set(first.measures["model"]) >= {"cat_or_dog@1", "majority"}


def test_what_training_warns_of_is_a_warning(opened: Home, built: Snapshot) -> None:
    with pytest.warns(UserWarning) as caught:  # noqa: PT030 - each of them is compared
        head = opened.train(HEAD)

    assert any("Some classes have fewer than 50 rows in train" in sentence for sentence in head.warnings)
    assert [str(warning.message) for warning in caught] == list(head.warnings)
    assert {warning.filename for warning in caught} == {__file__}


@few_rows
def test_a_head_and_a_snapshot_are_plotted(opened: Home, built: Snapshot) -> None:
    head = opened.train(HEAD)
    confusion, measures = head.plot(), head.plot("measures")
    vectors = built.plot("split", "PCA")

    assert head.evaluation is not None
    assert [list(row) for row in confusion.data[0].z] == [
        [round(count / max(sum(row), 1), 3) for count in row] for row in head.evaluation.confusion
    ]
    assert confusion.layout.title.text == "Confusion matrix"
    assert len(measures.data) > 1
    assert sum(len(trace.x) for trace in vectors.data) == built.manifest.rows
    assert all(np.isfinite(trace.x).all() and len(trace.x) == len(trace.text) for trace in vectors.data)
    assert [trace.name.split()[0] for trace in vectors.data] == list(SPLITS)
    with pytest.raises(rw.UserError, match=r"has no chart 'roc\?': its charts are confusion, measures"):
        head.plot("roc?")
    with pytest.raises(rw.UserError, match="no projection 'TSNE': choose among UMAP, PCA"):
        built.plot(projection="TSNE")


WRONG: dict[str, tuple[Callable[[Home], object], str]] = {
    "an unknown dataset": (lambda home: home.dataset("nothing"), "There is no snapshot and no dataset 'nothing'"),
    "a dataset by number": (lambda home: home.dataset(3), "The name of the dataset is of type int"),  # type: ignore[arg-type]
    "an unknown head": (lambda home: home.head("nothing"), "There is no head 'nothing'"),
    "an unknown encoder": (lambda home: home.encoder("nothing"), "The encoder 'nothing' is unknown"),
    "no dataset file": (lambda home: home.build("nothing.yaml"), "The dataset file nothing.yaml does not exist"),
    "a wrong field": (
        lambda home: home.build(SPEC | {"lable": 1}),
        "the field lable is unknown; correct its name to label",
    ),
    "no fields": (lambda home: home.build(["uploads"]), "The dataset is of type list"),  # type: ignore[arg-type]
    "a time without zone": (
        lambda home: home.build(SPEC, as_of=datetime(2026, 1, 1)),  # noqa: DTZ001
        "as_of is no time with a time zone",
    ),
    "no head file": (lambda home: home.train("nothing.yaml"), "The head file nothing.yaml does not exist"),
    "a wrong kind": (lambda home: home.train(HEAD | {"kind": "forest"}), "kind is 'forest'"),
    "no head": (lambda home: home.train(3), "The head is of type int"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_sentence(opened: Home, call: Callable[[Home], object], message: str) -> None:
    with pytest.raises(rw.UserError, match=re.escape(message)) as caught:
        call(opened)
    assert "\n" not in str(caught.value)


def test_a_split_that_there_is_not_is_refused(built: Snapshot) -> None:
    with pytest.raises(rw.UserError, match="split is 'dev', but the rule is: train, validation, test"):
        built.to_pandas("dev")  # type: ignore[arg-type]
