"""Each attack breaks an encoder that is known to leak, and finds nothing in vectors that carry nothing."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from encoders.encoder import Encoded
from encoders.spec import Vector
from rawless.audit.leakage import planted
from rawless.audit.leakage.attack import Measure, measure
from rawless.audit.leakage.attacks import Setting, Side, attacks_for
from rawless.audit.leakage.attributes import AttributeAttack, _Ranked
from rawless.audit.leakage.audit import PER_ATTACKED
from rawless.audit.leakage.records import Record, read_records
from rawless.audit.leakage.words import WordsAttack, words_of
from rawless.errors import UserError
from rawless.privacy import Raw, Reason

WORDS = [f"{first}{last}" for first in ("ba", "ko", "mi", "tu", "re", "sa") for last in ("lo", "ne", "pi", "gu", "da")]
FUNCTION = ["the", "and", "of"]
ROWS = 330
DIMENSION = 64


@dataclass(frozen=True)
class Bag:
    """Encodes a text as a random projection of its words, so that it leaks all of them; or as noise."""

    leaks: bool = True

    @property
    def spec(self) -> Any:
        return SimpleNamespace(dimension=DIMENSION, modality="text")

    def encode(self, items: Sequence[Raw[bytes]], *_: Any) -> list[Encoded | Reason]:
        return [Encoded(self.vector(item.reveal().decode()), False) for item in items]

    def vector(self, text: str) -> Vector:
        seeds = [list(word.encode()) for word in sorted(words_of(text))] if self.leaks else [list(text.encode())]
        return np.sum([np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds], 0).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def _smaller() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rawless.audit.leakage.attack.RESAMPLES", 50)
        patch.setattr("rawless.audit.leakage.words.CONTENT_SHARE", 0.3)
        patch.setattr(planted, "TOKENS", 9)
        yield


def records() -> list[Record]:
    """Texts of two topics, each of which has words of its own; their length says nothing of the topic."""
    chance = np.random.default_rng(3)
    made = []
    for number in range(ROWS):
        own = WORDS[:15] if number % 2 else WORDS[15:]
        text = " ".join([*FUNCTION, *chance.choice(own, int(chance.integers(3, 7)), replace=False)])
        made.append(Record(Raw(text.encode()), Raw({"topic": "one" if number % 2 else "other"})))
    return made


def found(encoder: Bag) -> dict[str, Measure]:
    every = records()
    vectors = np.array([encoder.vector(each.content.reveal().decode()) for each in every])
    attacked = ROWS // (PER_ATTACKED + 1)
    auxiliary, judged = Side(every[attacked:], vectors[attacked:]), Side(every[:attacked], vectors[:attacked])
    setting = Setting(encoder, auxiliary, judged, target=judged, attributes=["topic"])  # type: ignore[arg-type]
    return {each.metric: each for planned in attacks_for("text", setting) for each in measure(*planned)}


@pytest.fixture(scope="module")
def leaky() -> dict[str, Measure]:
    return found(Bag())


@pytest.fixture(scope="module")
def noise() -> dict[str, Measure]:
    return found(Bag(leaks=False))


BROKEN = {
    "words_recall": 0.9, "words_f1": 0.9, "content_words_f1": 0.9,
    "words_cross_domain_f1": 0.9, "planted_tokens_recall": 0.9, "alignment_100_words_f1": 0.6,
    "alignment_100_retrieval": 0.8, "attribute_topic_20_gain": 0.2, "attribute_topic_100_gain": 0.3,
    "attribute_topic_100_auc": 0.9, "linkage_same": 0.9, "linkage_changed": 0.7,
}  # fmt: skip


@pytest.mark.parametrize("metric", BROKEN)
def test_an_attack_breaks_an_encoder_that_leaks(leaky: dict[str, Measure], metric: str) -> None:
    one = leaky[metric]
    without = max(one.control, one.prior or 0.0, one.shuffled)

    assert one.value >= BROKEN[metric]
    assert one.low <= one.value <= one.high
    assert one.low > without


@pytest.mark.parametrize("metric", [metric for metric in BROKEN if metric != "linkage_same"])
def test_an_attack_finds_nothing_in_noise(noise: dict[str, Measure], metric: str) -> None:
    """But that the same text has the same noise, so that it finds its own row."""
    one = noise[metric]

    assert one.low <= max(one.control, one.prior or 0.0) + 0.1


def test_more_pairs_align_better(leaky: dict[str, Measure]) -> None:
    retrieved = [leaky[f"alignment_{pairs}_retrieval"].value for pairs in (1, 10, 100)]

    assert retrieved == sorted(retrieved)
    assert "alignment_1000_retrieval" not in leaky  # there are not so many


def test_an_attribute_that_the_length_gives_away_is_no_gain_of_vectors() -> None:
    chance = np.random.default_rng(0)
    labels = ["long" if number % 2 else "short" for number in range(220)]
    lengths = np.array([[100.0 + chance.random() if label == "long" else 10.0 + chance.random()] for label in labels])
    lengths = lengths.astype(np.float32)
    attack = AttributeAttack("kind", labels[:200], labels[200:], lengths[:200], lengths[200:])

    gains = {each.metric: each for each in attack(lengths[:200], lengths[200:])}

    every = np.arange(20)
    assert gains["attribute_kind_100_auc"].statistic(every) == gains["attribute_kind_100_auc"].prior == 1
    assert gains["attribute_kind_100_gain"].statistic(every) == 0


def test_an_area_under_the_curve_counts_equal_scores_as_half() -> None:
    scores = np.array([[0.1], [0.5], [0.5], [0.9]], np.float32)
    auc = _Ranked(scores, np.array([[False], [True], [False], [True]]))

    assert auc(np.arange(4)) == pytest.approx(3.5 / 4)
    assert auc(np.array([1, 2, 2])) == pytest.approx(0.5)


def test_words_that_were_never_learned_are_missed() -> None:
    texts = ["alpha beta", "alpha gamma"] * 100
    attack = WordsAttack(texts, ["alpha zeta"] * 10)
    vectors = np.array([Bag().vector(text) for text in [*texts, *["alpha zeta"] * 10]])

    metrics = {each.metric: each.statistic(np.arange(10)) for each in attack(vectors[:200], vectors[200:])}

    assert metrics["words_recall"] == pytest.approx(0.5)


def test_each_character_of_a_script_without_spaces_is_a_word() -> None:
    assert words_of("Wo ist 私の荷物? ครับ it's") == {"wo", "ist", *"私の荷物", *"ครับ", "it's"}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


READ: dict[str, Callable[[Path], Path]] = {
    "lines": lambda folder: write(folder / "a.txt", "one\n\ntwo\r\none\n"),
    "CSV": lambda folder: write(folder / "a.csv", "topic;text\nx;one\ny;two\nx;one\n"),
    "JSON Lines": lambda folder: write(
        folder / "a.jsonl",
        "".join(
            json.dumps({"text": text, "attributes": {"topic": topic}}) + "\n"
            for text, topic in (("one", "x"), ("two", "y"), ("one", "x"))
        ),
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_texts_are_read_once_each(kind: str, tmp_path: Path) -> None:
    read = read_records(READ[kind](tmp_path), "--aux", "text", 10, 0)

    labels = {each.content.reveal().decode(): each.columns.reveal().get("topic") for each in read.chosen}
    assert labels == ({"one": None, "two": None} if kind == "lines" else {"one": "x", "two": "y"})
    assert (read.read, read.repeated, read.unreadable) == (3, 1, {})


def test_the_choice_of_rows_depends_on_the_seed_and_not_on_the_order(tmp_path: Path) -> None:
    texts = [str(number) for number in range(100)]
    forwards, backwards = write(tmp_path / "a.txt", "\n".join(texts)), write(tmp_path / "b.txt", "\n".join(texts[::-1]))

    def chosen(path: Path, seed: int) -> list[bytes]:
        return [each.content.reveal() for each in read_records(path, "--aux", "text", 10, seed).chosen]

    assert chosen(forwards, 1) == chosen(backwards, 1)
    assert chosen(forwards, 1) != chosen(forwards, 2)


def test_records_that_cannot_be_read_are_counted_by_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "fine"}\n{\n{"topic": "x"}\n{"file": "none.jpg"}\n')

    read = read_records(path, "--aux", "text", 10, 0)

    assert len(read.chosen) == 1
    assert read.unreadable == {Reason.MALFORMED_EVENT: 1, Reason.EMPTY_PAYLOAD: 1, Reason.OBJECT_NOT_FOUND: 1}


def test_a_picture_is_read_from_beside_the_file_only(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "outside.jpg", "secret")
    write(tmp_path / "in" / "a.jpg", "picture")
    path = write(tmp_path / "in" / "a.csv", "file,topic\na.jpg,x\n../outside.jpg,y\n")

    read = read_records(path, "--aux", "image", 10, 0)

    assert [each.content.reveal() for each in read.chosen] == [b"picture"]


@pytest.mark.parametrize(
    ("name", "text", "modality", "message"),
    [
        ("a.xls", "x", "text", "--aux names a.xls, but must be a file of .txt, .csv or .jsonl."),
        ("a.txt", "x", "image", "a file of texts, but the encoder takes image"),
        ("a.csv", "body,topic\nx,y\n", "text", "which has no column text"),
        ("a.csv", "text,topic\nx,y\n", "image", "which has no column file"),
        (None, "", "text", "--aux names none.txt, but there is no such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    name: str | None, text: str, modality: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(Path(name), text) if name else Path("none.txt")

    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        read_records(path, "--aux", modality, 10, 0)
