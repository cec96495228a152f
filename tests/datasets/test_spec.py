"""Dataset files: errors name field, value and rule, and no value becomes SQL."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from rawless.datasets.spec import Label
from rawless.errors import UserError
from tests.shop import SPEC, Shop, open_shop
from tests.warehouse_pool import WarehousePool


@pytest.fixture(scope="module")
def shop(warehouses: WarehousePool, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One for all: a refused dataset leaves nothing, and a built one changes no table of the shop."""
    return open_shop(warehouses.make(), tmp_path_factory.mktemp("shop"))


PERSONS = SPEC["split"]
TIMES = {"by": "time", "validation_from": "2026-01-10T00:00:00Z", "test_from": "2026-01-20T00:00:00Z"}
NUMBER = {"query": "confirmed_upload", "type": "number", "range": [0, 1]}
PAIR = {"query": "confirmed_upload", "kind": "pair", "classes": ["a", "b"]}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"split": PERSONS | {"test": 0.3}}, "must add up to 1, not to 1.1"),
        ({"split": PERSONS | {"train": 0.8, "test": 0}}, "train and test must be more than 0"),
        ({"split": PERSONS | {"train": 1.6, "test": -0.8}}, "split"),
        ({"split": PERSONS | {"by": "weather"}}, "split"),
        ({"split": PERSONS | {"near_duplicates": {"cosine": 1.0}}}, "cosine"),
        ({"split": PERSONS | {"near_duplicates": {"cosine": 0.9}}, "label": PAIR}, "compares rows of one vector"),
        ({"split": TIMES | {"test_from": "2026-01-09T00:00:00Z"}}, "validation_from must be before test_from"),
        ({"split": TIMES | {"gap": "11d"}}, "by at least the gap"),
        ({"split": TIMES | {"test_from": "2026-01-20T00:00:00"}}, "test_from"),
        ({"as_of": "2026-02-01T00:00:00"}, "as_of"),
        ({"as_of": "soon"}, "as_of"),
        ({"label": {"query": "confirmed_upload", "classes": ["cat"]}}, "at least two classes"),
        ({"label": {"query": "confirmed_upload", "classes": ["cat", "cat"]}}, "must be all different"),
        ({"label": {"query": "confirmed_upload", "classes": ["cat", "a dog"]}}, "classes"),
        ({"label": {"query": "confirmed_upload", "type": "number"}}, "range: [lowest, highest]"),
        ({"label": {"query": "confirmed_upload", "type": "number", "range": [2, 1]}}, "range: [lowest, highest]"),
        ({"label": {"query": "confirmed_upload", "type": "number", "range": [0, ".inf"]}}, "range"),
        ({"label": NUMBER}, "has a step"),
        ({"label": NUMBER | {"step": 0}}, "step"),
        ({"label": NUMBER | {"step": 0.3}}, "must be a whole number of steps"),
        ({"label": NUMBER | {"step": 4}}, "must be a whole number of steps"),
        ({"label": NUMBER | {"step": 1 / 2**16}}, "at most 65,536 values"),
        ({"label": NUMBER | {"range": [0, 2**48], "step": 1}}, "at most 65,536 values"),
        ({"label": NUMBER | {"step": 1, "classes": ["cat"]}}, "no classes"),
        ({"label": SPEC["label"] | {"step": 1}}, "at least two classes; a number has"),
        ({"label": SPEC["label"] | {"window": "30d"}}, "window, as in 30d, belongs to a label of kind subject"),
        ({"label": SPEC["label"] | {"maturity": "a week"}}, "maturity"),
        ({"label": SPEC["label"] | {"kind": "pair"}}, "labels by event, but the dataset's label has kind pair"),
        ({"label": SPEC["label"] | {"query": "nothing"}}, "There is no label nothing"),
        ({"rules": ["exclude_everything"]}, "There is no rule exclude_everything"),
        ({"rules": [{"occurred_within": {"weeks": 2}}]}, "has no parameter 'weeks'"),
        ({"rules": [{"cap_per_subject": {}}]}, "needs the parameter events"),
        ({"rules": [{"cap_per_subject": {"events": "2"}}]}, "must be a whole number of at least 1"),
        ({"rules": [{"sample": {"share": 1.5}}]}, "must be a number of at least 0 and at most 1"),
        ({"rules": [{"exclude_subjects": {"subjects": "staff"}}]}, "reads staff, but the sources are"),
        ({"sources": [{"table": "confirmed"}]}, "has either known_at"),
        ({"sources": [{"table": "confirmed", "known_at": "at", "mutable": "copy"}]}, "has either known_at"),
        ({"sources": [{"table": "x", "mutable": "copy", "values": {"c": ["Call Anna"]}}]}, "at most 32 characters"),
        ({"sources": [{"table": "x", "mutable": "copy", "values": {"c": ["c12345"]}}]}, "five digits in a row"),
        ({"sources": [{"table": "x", "known_at": "t", "values": {"c": ["a"]}}]}, "values belongs to a source"),
        ({"sources": [{"table": "a.x", "known_at": "t"}, {"table": "b.x", "known_at": "t"}]}, "have the same name"),
        ({"sources": [{"table": "x", "mutable": "copy", "cut": "event"}]}, "cut: event, which needs known_at"),
        ({"sources": [{"table": "x", "known_at": "t", "cut": "later"}]}, "cut"),
        ({"rules": [{"exclude_closed_accounts": {"cut": "later"}}]}, "cut"),
        ({"rules": [{"exclude_subjects": {"subjects": "account_closed", "cut": "event"}}]}, "for the cut as_of only"),
        ({"sources": [{"table": "event", "known_at": "t"}]}, "cannot be named event"),
        ({"sources": [{"table": "ranked", "known_at": "t"}]}, "cannot be named ranked"),
        ({"sources": [{"table": "placed", "known_at": "t"}]}, "cannot be named placed"),
        ({"budget": {"max_bytes_billed": "50 apples"}}, "a whole number and a unit"),
        ({"require": {"min_rows": 0}}, "min_rows"),
        ({"encoder": "tiny"}, "encoder"),
        ({"dataset": "Uploads!"}, "dataset"),
        ({"colour": "red"}, "colour"),
        ({"stream": "nobody"}, "No event of nobody that tiny@1.0.0 embedded"),
        ({"as_of": "2999-01-01T00:00:00Z"}, "must not be later than"),
        ({"require": {"min_rows": 500}}, "require.min_rows is 500"),
        ({"require": {"min_per_label": 80}}, "require.min_per_label is 80"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_leaves_nothing(shop: Shop, fields: dict[str, Any], words: str) -> None:
    rows, manifests, _ = shop.left()
    with pytest.raises(UserError) as raised:
        shop.build(**fields)

    assert words in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert shop.left() == (rows, manifests, [])


@pytest.mark.parametrize(
    ("label", "bits"),
    [
        ({"classes": ["cat", "dog", "bird"]}, 2),
        ({"type": "number", "range": [-1, 1], "step": 0.5}, math.log2(6)),
        ({"type": "number", "range": [0, 65_534], "step": 1}, 16),
    ],
)
def test_the_bits_of_a_row_are_those_of_its_label_or_its_absence(label: dict[str, Any], bits: float) -> None:
    assert Label(query="any", **label).bits == pytest.approx(bits)


def test_a_label_has_at_most_as_many_classes_as_sixteen_bits_count() -> None:
    with pytest.raises(ValidationError, match="at most 65536 items"):
        Label(query="any", classes=tuple(f"c{number}" for number in range(2**16 + 1)))


HOSTILE = (
    "x'; DROP TABLE confirmed; --",
    'x"); DELETE FROM confirmed WHERE TRUE; SELECT ("',
    "x` UNION ALL SELECT 1 FROM `confirmed",
    "{{ 7 * 7 }}{% raw %}",
    "x'\\'*/ OR TRUE /*",
    "@as_of\n)",
)
WHOLE: dict[str, Any] = SPEC | {
    "folder": ".",
    "rules": [
        {"exclude_closed_accounts": {"closed": "account_closed"}},
        {"attribute_in": {"attribute": "channel", "values": ["chat"]}},
        {"sample": {"share": 0.9, "salt": "s"}},
    ],
}
WHOLE["label"] = SPEC["label"] | {"kind": "event", "maturity": "1d"}


def _texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all texts of a dataset, including names of parameters and rules."""
    if isinstance(value, str):
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _texts(part, (*path, key))


def _with(path: tuple[Any, ...], text: str) -> dict[str, Any]:
    whole = copy.deepcopy(WHOLE)
    place = whole
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = text
    return whole


@pytest.mark.parametrize("path", list(_texts(WHOLE)), ids=lambda path: ".".join(map(str, path)))
def test_no_value_becomes_sql(shop: Shop, path: tuple[Any, ...]) -> None:
    """Each is refused, and no table changes."""
    for text in HOSTILE:
        with pytest.raises(UserError) as raised:
            shop.build(**_with(path, text))
        assert len(str(raised.value).splitlines()) == 1
        (kept,) = shop.warehouse.query("SELECT COUNT(*) AS n FROM confirmed")
        assert kept["n"] == 120
