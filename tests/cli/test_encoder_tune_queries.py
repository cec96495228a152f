"""`rawless encoder tune-queries`: a query tower that is learned from pairs, and leaves nothing of the questions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoders import query_tower
from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.audit.search import Search
from rawless.datasets.snapshots import Manifest
from rawless.warehouse.encoder_registry import register
from tests.questions import MARK, build_pairs, write_source
from tests.shop import Shop

Rawless = Callable[..., Any]


@pytest.fixture(scope="module")
def pairs(shop: Shop, tiny_sealed: EncoderSpec) -> Manifest:
    """The snapshot of pairs, on the local stack that commands use."""
    register(shop.warehouse, tiny_sealed)
    return build_pairs(shop, tiny_sealed)


@pytest.fixture
def tune(rawless: Rawless, pairs: Manifest, tiny_file: Path, tmp_path: Path) -> Rawless:
    """Runs the command on the questions, with some options."""
    write_source(tmp_path, str(tiny_file))

    def run(*options: str | Path, name: str = "asking") -> Any:
        given = ("--pairs", pairs.snapshot_id, "--stream", tmp_path / "question.yaml")
        given += ("--source", f"jsonl:{tmp_path / 'questions.jsonl'}", "--learning-rate", "0.003", "--epochs", "12")
        out = ("--out", tmp_path / "out" / f"{name}.yaml")
        (tmp_path / "out").mkdir(exist_ok=True)
        return rawless("encoder", "tune-queries", tiny_file, "--as", f"{name}@1.0.0", *given, *out, *options)

    return run


def test_a_tower_learns_what_a_linear_map_does_not_and_leaves_no_content(
    tune: Rawless, shop: Shop, pairs: Manifest, tiny_sealed: EncoderSpec, tmp_path: Path
) -> None:
    events = f"SELECT * FROM `{shop.warehouse.table_id('embedding_event_v1')}` WHERE occurred_at >= '2020-01-01'"
    before = shop.warehouse.query(f"{events} ORDER BY event_id")

    done = tune("--register", "--json")

    worth, spec = done.json, lookup(str(tmp_path / "out" / "asking.yaml"))
    mrr = {name: worth[name]["mrr"]["value"] for name in ("plain", "query_transform", "tower")}
    assert mrr["tower"] > mrr["query_transform"] >= mrr["plain"]
    assert worth["tower_over_plain"]["mrr"]["low"] > 0
    assert (spec.parent, spec.queries_of, spec.space) == ("tiny@1.0.0", *[tiny_sealed.fingerprint] * 2)
    assert pairs.snapshot_id in spec.training_domain
    assert shop.warehouse.query(f"{events} ORDER BY event_id") == before  # the documents' vectors, and no others
    search = Search([MARK.encode()])
    assert search.in_bytes((done.out + done.err).encode(), "output") | search.in_folder(tmp_path / "out") == set()


def test_the_same_seed_gives_the_same_weights_and_a_table_says_their_worth(tune: Rawless, tmp_path: Path) -> None:
    done = [tune("--layers", "1", "--seed", seed, name=name) for seed, name in (("3", "a"), ("3", "b"), ("4", "c"))]

    same, again, other = (lookup(str(tmp_path / "out" / f"{name}.yaml")).weights.files for name in "abc")
    assert same == again != other
    assert "test pairs among" in done[0].out
    assert all(word in done[0].out for word in ("recall@1", "recall@10", "mrr", "query_transform", "tower - plain"))


def test_a_tower_that_is_not_better_on_validation_is_not_written(tune: Rawless, tmp_path: Path) -> None:
    done = tune("--learning-rate", "1e-12")
    assert (done.code, list((tmp_path / "out").iterdir())) == (2, [])
    assert "No epoch was better on validation than the plain encoder" in done.err


def test_what_ends_while_it_writes_leaves_nothing_half_written(
    tune: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_: EncoderSpec) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(query_tower, "seal", end)
        ended = tune()
    (tmp_path / "out" / ".asking.partial").mkdir()  # of a process that was killed

    assert (ended.code, [path.name for path in (tmp_path / "out").iterdir()]) == (130, [".asking.partial"])
    assert tune().code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["asking", "asking.yaml"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "3"), "--layers is 3, but tiny@1.0.0 uses 2 layers"),
        (("--learning-rate", "0"), "--learning-rate is 0, but must be above 0"),
        (("--positive", "perhaps"), "positive is 'perhaps', but the classes are no, yes"),
        (("--pairs", "nothing"), "There is no snapshot and no dataset 'nothing'"),
        (("--as", "tiny@1.0.1"), "use tiny@1.1.0 or a later version"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tune: Rawless, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = tune(*options)
    assert (done.code, list((tmp_path / "out").iterdir())) == (2, [])
    assert message in done.err


def test_a_source_without_the_questions_is_refused_by_their_number(tune: Rawless, tmp_path: Path) -> None:
    source = tmp_path / "questions.jsonl"
    source.write_text("\n".join(source.read_text().splitlines()[:5]) + "\n")
    done = tune()
    assert done.code == 2
    assert "queries of train are not in the source" in done.err


def test_a_tower_encodes_queries_only(
    rawless: Rawless, shop: Shop, tiny_sealed: EncoderSpec, query_tower_file: Path, tmp_path: Path
) -> None:
    write_source(tmp_path, str(query_tower_file))
    source = ("--source", f"jsonl:{tmp_path / 'questions.jsonl'}")
    shop.dataset(encoder="asks@1.0.0")
    register(shop.warehouse, tiny_sealed)
    assert rawless("encoder", "register", query_tower_file).code == 0

    refused = [
        rawless("ingest", "--stream", tmp_path / "question.yaml", *source),
        rawless("stream", "check", tmp_path / "question.yaml"),
        rawless("dataset", "build", shop.folder / "dataset.yaml"),
        rawless("head", "import", tmp_path / "x.onnx", "--encoder", query_tower_file, "--as", "topic"),
        rawless("encoder", "tune-queries", query_tower_file, "--as", "x@1.0.0", "--pairs", "answered",
                "--stream", tmp_path / "question.yaml", *source),
    ]  # fmt: skip

    assert [each.code for each in refused] == [2] * 5
    assert [each.err for each in refused if "asks@1.0.0" not in each.err or "query tower" not in each.err] == []
