"""A head answers whatever a scientist has as vectors, and names what it cannot take."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import rawless as rw
from encoders.catalogue import lookup
from rawless.api.encoder import Embeddings
from rawless.api.head import Head
from rawless.heads.features import HeadFeature
from tests.drawn_heads import CLASSES, write_head

WIDTH, ROWS = 384, 4
PLAN = HeadFeature(name="plan", classes=("free", "gold"))
BALANCE = HeadFeature(name="balance", type="number", range=(0, 100), step=10)
VECTORS = np.random.default_rng(0).standard_normal((ROWS, WIDTH))
FORMS: dict[str, Callable[[], Any]] = {
    "float64": lambda: VECTORS,
    "float32": lambda: VECTORS.astype(np.float32),
    "columns in memory": lambda: np.asfortranarray(VECTORS),
    "lists": VECTORS.tolist,
    "a tuple of arrays": lambda: tuple(VECTORS),
    "an array of objects": lambda: pd.Series(list(VECTORS)).to_numpy(),
    "a series": lambda: pd.Series(list(VECTORS)),
    "a frame": lambda: pd.DataFrame({"event_id": list("abcd"), "embedding": list(VECTORS)}),
    "a frame of numbers": lambda: pd.DataFrame(VECTORS),
    "a masked array": lambda: np.ma.masked_array(VECTORS),
    "a tensor": lambda: torch.tensor(VECTORS, requires_grad=True),
    "a list of tensors": lambda: list(torch.tensor(VECTORS, requires_grad=True)),
    "what an encoder returns": lambda: _embeddings(VECTORS),
}


def _embeddings(vectors: Any, **fields: Any) -> Embeddings:
    spec = lookup("minilm@1.0.0")
    flags = np.zeros(len(vectors), np.bool_)
    made = Embeddings(np.asarray(vectors, np.float32), {}, flags, spec.ref, spec.fingerprint, spec.space)
    return replace(made, **fields)


@pytest.fixture
def open_head(tmp_path: Path) -> Callable[..., Head]:
    """Return a function that opens a head with random weights."""

    def opened(kind: str = "linear", **fields: Any) -> Head:
        write_head(tmp_path, "topic", kind=kind, **fields)
        return rw.head(tmp_path / "topic" / "1")

    return opened


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_vectors_gets_the_same_answers(open_head: Callable[..., Head], form: str) -> None:
    head = open_head()
    session = head._session
    expected = session.answer(embedding=VECTORS.astype(np.float32))["probabilities"]
    answers = head.predict(FORMS[form]())

    np.testing.assert_array_equal(answers[[f"probability.{name}" for name in CLASSES]], expected)
    assert list(answers.prediction) == [CLASSES[index] for index in expected.argmax(axis=1)]
    np.testing.assert_array_equal(answers.confidence, expected.max(axis=1))


def test_a_single_vector_is_one_row_and_none_are_no_rows(open_head: Callable[..., Head]) -> None:
    head = open_head()

    for single in (VECTORS[1], VECTORS[1].tolist(), torch.tensor(VECTORS[1])):
        pd.testing.assert_frame_equal(head.predict(single), head.predict(VECTORS[1:2]))
    for none in ([], np.empty((0, WIDTH)), pd.DataFrame({"embedding": []})):
        answers = head.predict(none)
        assert (len(answers), list(answers.columns)) == (0, list(head.predict(VECTORS).columns))


def test_answers_have_the_index_of_a_frame(open_head: Callable[..., Head]) -> None:
    frame = pd.DataFrame({"embedding": list(VECTORS)}, index=["w", "x", "y", "z"])
    head = open_head()

    assert list(head.predict(frame[::-2]).index) == ["z", "x"]
    assert list(head.predict(frame["embedding"]).index) == ["w", "x", "y", "z"]


WRONG: dict[str, tuple[Any, str]] = {
    "another width": (
        VECTORS[:, :5],
        "have 5 numbers, but the head topic@1 takes vectors of 384 .* minilm@1.0.0: encode",
    ),
    "transposed": (np.zeros((WIDTH, 3)), "have 3 numbers, .* transpose the array"),
    "ragged": ([[1.0] * WIDTH, [1.0] * 3], "Row 1 has 3 numbers, but the head topic@1 takes vectors of 384"),
    "nested lists of several lengths": ([[[1.0], [1.0, 2.0]]], "Row 0 is no flat list of numbers"),
    "NaN": (np.where(np.arange(ROWS)[:, None] == 2, np.nan, VECTORS), "Row 2 has a number that is missing, infinite"),
    "too large for float32": (VECTORS * 1e300, "Row 0 .*as 3 more rows do: leave such rows out"),
    "masked numbers": (np.ma.masked_greater(VECTORS, 2.5), "has a number that is missing"),
    "a missing vector": ([VECTORS[0], None], "Row 1 is missing"),
    "a text": ("minilm", "of type str"),
    "texts": (["a text", "another"], "Row 0 is of type str"),
    "numbers as texts": (VECTORS.astype(str), "of type <U"),
    "three dimensions": (np.zeros((2, 2, WIDTH)), r"shape \(2, 2, 384\)"),
    "nothing": (None, "of type NoneType"),
    "a number": (3.5, "of type float"),
    "a frame without vectors": (pd.DataFrame({"vector": list(VECTORS)}), "has no column 'embedding'"),
    "complex numbers": (VECTORS.astype(complex), "of type complex128"),
}


@pytest.mark.parametrize(("vectors", "message"), WRONG.values(), ids=WRONG)
def test_what_a_head_cannot_take_is_named_in_one_sentence(
    open_head: Callable[..., Head], vectors: Any, message: str
) -> None:
    with pytest.raises(rw.UserError, match=message) as caught:
        open_head().predict(vectors)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["embeddings", "frame of a snapshot", "column of a snapshot", "rows of a query"])
def test_vectors_of_another_encoder_are_refused(open_head: Callable[..., Head], form: str) -> None:
    frame = pd.DataFrame({"embedding": list(VECTORS)})
    if form == "rows of a query":
        frame["encoder_fingerprint"] = "e" * 64
    frame.attrs = {} if form == "rows of a query" else {"encoder_fingerprint": "e" * 64, "encoder_space": "e" * 64}
    given = _embeddings(VECTORS, fingerprint="e" * 64, space="e" * 64) if form == "embeddings" else frame
    given = frame["embedding"] if form == "column of a snapshot" else given

    with pytest.raises(rw.UserError, match=r"takes vectors of minilm@1.0.0 with the fingerprint .* these have eeee"):
        open_head().predict(given)


def test_vectors_of_the_same_space_are_taken(open_head: Callable[..., Head]) -> None:
    head = open_head(encoder_space="5" * 64)
    frame = pd.DataFrame({"embedding": list(VECTORS)})
    frame.attrs = {"encoder_fingerprint": "e" * 64, "encoder_space": "5" * 64}

    assert len(head.predict(frame)) == len(head.predict(_embeddings(VECTORS, fingerprint="e" * 64, space="5" * 64)))


def test_a_rejected_item_has_its_reason_in_place_of_an_answer(open_head: Callable[..., Head]) -> None:
    vectors = VECTORS.copy()
    vectors[[0, 2]] = np.nan
    head = open_head()
    answers = head.predict(_embeddings(vectors, rejected={0: "empty_text", 2: "invalid_utf8"}))
    kept = head.predict(VECTORS[[1, 3]])

    assert answers.reason[[0, 2]].tolist() == ["empty_text", "invalid_utf8"]
    assert answers.reason[[1, 3]].isna().all()
    assert answers.prediction[[0, 2]].isna().all()
    assert answers.prediction[[1, 3]].tolist() == kept.prediction.tolist()
    np.testing.assert_array_equal(answers.confidence[[1, 3]], kept.confidence)


def test_a_head_of_numbers_answers_values(open_head: Callable[..., Head]) -> None:
    answers = open_head("number").predict(VECTORS)

    assert list(answers.columns) == ["value"]
    assert len(answers) == ROWS


def test_a_head_of_pairs_takes_both_sides(open_head: Callable[..., Head]) -> None:
    head = open_head("pair", classes=("no", "yes"))
    frame = pd.DataFrame({"embedding": list(VECTORS), "right_embedding": list(VECTORS[::-1])})
    answers = head.predict(VECTORS, VECTORS[::-1])

    pd.testing.assert_frame_equal(head.predict(frame), answers)
    assert list(answers.prediction) == ["yes" if score >= 0.5 else "no" for score in answers.score]
    with pytest.raises(rw.UserError, match="takes pairs of vectors: give both"):
        head.predict(VECTORS)
    with pytest.raises(rw.UserError, match="4 left and 2 right vectors"):
        head.predict(VECTORS, VECTORS[:2])


def test_a_head_of_single_vectors_refuses_a_second_side(open_head: Callable[..., Head]) -> None:
    with pytest.raises(rw.UserError, match="takes single vectors"):
        open_head().predict(VECTORS, VECTORS)


def test_pairs_leave_out_rows_of_which_either_item_was_rejected(open_head: Callable[..., Head]) -> None:
    vectors = VECTORS.copy()
    vectors[1] = np.nan
    answers = open_head("pair", classes=("no", "yes")).predict(
        _embeddings(vectors, rejected={1: "empty_text"}), _embeddings(VECTORS)
    )

    assert answers.score.isna().tolist() == [False, True, False, False]
    assert answers.reason[1] == "empty_text"


def test_queries_are_mapped_by_tenant(open_head: Callable[..., Head]) -> None:
    head = open_head("by_tenant", tenants=("others", "acme"), hyperparameters={"tenant": "shop"})
    frame = pd.DataFrame({"embedding": list(VECTORS), "attribute.shop": ["acme", "unknown", None, "acme"]})
    by_list = head.predict(VECTORS, tenants=["acme", "others", "others", "acme"])

    np.testing.assert_array_equal(np.stack(head.predict(frame).embedding), np.stack(by_list.embedding))
    with pytest.raises(rw.UserError, match="maps the queries of each shop differently"):
        head.predict(VECTORS)
    with pytest.raises(rw.UserError, match="2 tenants for 4 vectors"):
        head.predict(VECTORS, tenants=["acme", "acme"])


def test_features_come_from_the_frame_or_beside_the_vectors(open_head: Callable[..., Head]) -> None:
    head = open_head(features=(BALANCE, PLAN))
    balances, plans = [0, 12.0, None, 100], ["free", "gold", None, "free"]
    frame = pd.DataFrame({"embedding": list(VECTORS), "feature.balance": balances, "feature.plan": plans})
    inputs = np.array([[0, 0], [10, 1], [np.nan, np.nan], [100, 0]], np.float32)
    expected = head._session.answer(embedding=VECTORS.astype(np.float32), features=inputs)["probabilities"]

    for answers in (
        head.predict(frame),
        head.predict(VECTORS, features=frame[["feature.plan", "feature.balance"]]),
        head.predict(VECTORS, features={"balance": np.array([0, 12, np.nan, 100]), "plan": plans}),
    ):
        np.testing.assert_array_equal(answers[[f"probability.{name}" for name in CLASSES]], expected)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (None, r"takes the feature balance \(0 to 100\) beside the vector, which is not given"),
        ({"balance": [1] * ROWS}, "takes the feature plan"),
        ({"balance": [1], "plan": ["free"] * ROWS}, "balance has 1 values for 4 vectors"),
        ({"balance": [1, 2, 101, 3], "plan": "free"}, r"Row 2 has a value that the feature cannot have: it is balance"),
        ({"balance": 1, "plan": ["free", "red", "gold", "gold"]}, r"Row 1 .* it is plan \(free, gold\)"),
        ([1, 2], "features is of type list"),
    ],
)
def test_a_wrong_feature_is_named_without_its_value(
    open_head: Callable[..., Head], features: Any, message: str
) -> None:
    with pytest.raises(rw.UserError, match=message) as caught:
        open_head(features=(BALANCE, PLAN)).predict(VECTORS, features=features)
    assert "red" not in str(caught.value)


def test_features_of_a_head_that_takes_none_are_refused(open_head: Callable[..., Head]) -> None:
    with pytest.raises(rw.UserError, match="takes no features"):
        open_head().predict(VECTORS, features={"plan": "free"})


def test_many_rows_are_answered_in_parts_that_agree(
    open_head: Callable[..., Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    head = open_head()
    whole = head.predict(VECTORS)
    monkeypatch.setattr("rawless.api.predict._AT_ONCE", 3)

    pd.testing.assert_frame_equal(head.predict(VECTORS), whole)
