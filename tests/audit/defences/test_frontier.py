"""The frontier on vectors that are known to leak: what each kind of defence takes, and what it leaves."""

from typing import NoReturn

import numpy as np
import pytest

from encoders.spec import EncoderSpec
from rawless.audit.defences.frontier import Frontier, Point, measure_frontier
from rawless.audit.defences.labelled_file import LabelledItems
from rawless.audit.leakage.words import WordsAttack
from rawless.errors import RawlessError
from rawless.privacy import Raw

ANIMALS, VERBS = ("cat", "dog", "bird"), ("paid", "lost", "sent")
RARE = [f"word{number}" for number in range(30)]


@pytest.fixture(scope="module")
def items() -> LabelledItems:
    """Texts of an animal, a verb and two rarer words, with vectors that are a projection of their words."""
    generator = np.random.default_rng(0)
    words = [
        [generator.choice(ANIMALS), generator.choice(VERBS), *generator.choice(RARE, 2, replace=False)]
        for _ in range(1_000)
    ]
    vocabulary = [*ANIMALS, *VERBS, *RARE]
    bags = np.array([[word in each for word in vocabulary] for each in words], np.float32)
    vectors = bags @ generator.standard_normal((len(vocabulary), 48)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return LabelledItems(
        contents=[Raw(" ".join(each).encode()) for each in words],
        vectors=vectors,
        labels={"animal": [each[0] for each in words], "verb": [each[1] for each in words]},
    )


@pytest.fixture(scope="module")
def frontier(items: LabelledItems, tiny_sealed: EncoderSpec) -> Frontier:
    """A grid with one defence of each kind."""
    grid = ("none", "truncate:8", "quantise:8", "quantise:1", "noise:0.2", "noise:3", "learned", "learned+noise:0.1")
    return measure_frontier(items, tiny_sealed, "animal", "verb", grid, seed=0)


def point(frontier: Frontier, name: str) -> Point:
    return next(each for each in frontier.points if each.defence == name)


def words(frontier: Frontier, name: str) -> float:
    return point(frontier, name).leakage["words_f1"].value


def test_the_attack_finds_the_words_of_undefended_vectors_and_none_under_strong_noise(frontier: Frontier) -> None:
    prior = frontier.prior["words_f1"]
    assert words(frontier, "none") > 0.95
    assert words(frontier, "noise:3") < prior + 0.03
    assert prior + 0.05 < words(frontier, "noise:0.2") < 0.95
    assert point(frontier, "noise:3").accuracy_stored < 0.45


def test_rounding_to_eight_bits_defends_nothing(frontier: Frontier) -> None:
    assert words(frontier, "quantise:8") > words(frontier, "none") - 0.02
    assert point(frontier, "quantise:8").accuracy_served == point(frontier, "none").accuracy_served


def test_a_head_that_is_trained_on_rounded_vectors_serves_rounded_ones(frontier: Frontier) -> None:
    found = point(frontier, "quantise:1")
    assert found.accuracy_served == found.accuracy_stored > 0.9


def test_a_learned_projection_takes_words_and_the_lost_attribute_and_leaves_the_label(frontier: Frontier) -> None:
    found, before = point(frontier, "learned"), point(frontier, "none")
    attribute = next(name for name in found.leakage if name.startswith("attribute_verb"))
    assert found.dimension == 2
    assert found.accuracy_served > 0.98
    assert words(frontier, "learned") < words(frontier, "truncate:8") < words(frontier, "none")
    assert before.leakage[attribute].value > 0.98
    assert found.leakage[attribute].value < 0.6
    assert point(frontier, "truncate:8").accuracy_served < found.accuracy_served


def test_a_head_is_more_accurate_for_vectors_without_noise(frontier: Frontier) -> None:
    found = point(frontier, "noise:0.2")
    assert found.accuracy_served > found.accuracy_stored + 0.05


def test_efficient_defences_are_those_that_no_other_is_better_than(frontier: Frontier) -> None:
    efficient = {each.defence for each in frontier.points if each.is_efficient}
    assert "learned" in efficient or "learned+noise:0.1" in efficient
    assert not {"truncate:8", "noise:0.2"} & efficient
    for each in frontier.points:
        low, high = each.leakage["words_f1"].low, each.leakage["words_f1"].high
        assert low <= each.leakage["words_f1"].value <= high


def test_nothing_of_an_attack_that_fails_is_in_the_error(
    items: LabelledItems, tiny_sealed: EncoderSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise ValueError(items.contents[0].reveal().decode())

    monkeypatch.setattr(WordsAttack, "__call__", fail)

    with pytest.raises(RawlessError) as failure:
        measure_frontier(items, tiny_sealed, "animal", None, ["none"], seed=0)
    assert str(failure.value).startswith("An attack failed (internal)")
    assert failure.value.__context__ is None
