"""Texts that a manifest stores for all readers of snapshots: none can be a customer's number or a message."""

import json
from typing import Any

import pytest

from rawless.datasets.compile import CompiledDataset, compile_dataset
from rawless.datasets.dataset import Dataset
from rawless.datasets.diff import dataset_of
from rawless.datasets.query_files import Query
from rawless.datasets.spec import DatasetSpec
from rawless.datasets.verify import verify
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig
from tests.shop import LABEL, SPEC, Shop

WAREHOUSE = Warehouse(
    WarehouseConfig(project="local-dev", events="e", snapshots="s", builds="b", subjects="u", audit="a")
)
NUMBER = "4915112345"
"""A customer's."""
REVIEW = {"table": "review", "mutable": "copy", "values": {"verdict": ["keep", "drop"]}}


def _compile(header: str, where: str, arguments: dict[str, Any] | None = None, **fields: Any) -> CompiledDataset:
    spec = SPEC | {"rules": [{"own": arguments or {}}], "sources": [*SPEC["sources"], REVIEW]} | fields
    head = f"/*\nsays: Keeps some.\nwithout_subject: keep\n{header}\n*/\n"
    sql = f"SELECT event.example_id, event.event_id FROM event WHERE {where}"
    dataset = Dataset(
        spec=DatasetSpec.model_validate(spec),
        label=Query(folder="labels", name="confirmed_upload", text=LABEL),
        rules=(Query(folder="rules", name="own", text=head + sql),),
    )
    return compile_dataset(WAREHOUSE, dataset)


def _parameter(declared: str) -> str:
    return f"parameters: {{value: {declared}}}"


TEXT = _parameter("{type: string, pattern: '[A-Za-z0-9]{1,32}'}")
USES = "event.label = @value"


@pytest.mark.parametrize(
    ("header", "where", "arguments", "words"),
    [
        ("", "event.label = 'email'", {}, "contains the text 'email'"),
        ("", "event.label = 'email'", {}, "declare it in the header, as in constants: ['email']"),
        ("", f"event.person_key = 'c{NUMBER}'", {}, "it must not have five digits in a row"),
        ("", f"event.person_key = r'''c{NUMBER}'''", {}, "write a string in one pair of quotes"),
        ("", "event.label = 'Please call Anna'", {}, "it must have at most 32 characters"),
        ("", "event.label = '\\x34\\x39\\x31\\x35'", {}, "it must have at most 32 characters"),
        ("", f"event.label_value = {NUMBER}", {}, "more than nine digits"),
        ("", "event.label_value = 0x124F80129A", {}, "more than nine digits"),
        ("", f"EXISTS (SELECT 1 AS c{NUMBER})", {}, "more than nine digits"),
        (f"constants: [c{NUMBER}]", "TRUE", {}, "five digits in a row"),
        ("constants: [Please call Anna]", "TRUE", {}, "at most 32 characters"),
        (_parameter("{type: string}"), USES, {"value": "a"}, "has either values, the list of all its"),
        (_parameter("{type: integer, values: [a]}"), USES, {"value": 1}, "has either values"),
        (_parameter("{type: string, pattern: '.*'}"), USES, {"value": "a"}, "the pattern may match free text"),
        (_parameter(f"{{type: string, pattern: '{NUMBER}'}}"), USES, {"value": "a"}, "at most nine digits"),
        (_parameter("{type: string, values: [chat]}"), USES, {"value": "email"}, "must be a text of chat"),
        (_parameter("{type: class}"), USES, {"value": "bird"}, "must be one of the classes of the label"),
        (TEXT, USES, {"value": NUMBER}, "must be a text matching"),
        (_parameter("{type: strings, values: [chat]}"), USES, {"value": ["chat", "x"]}, "must be a list of texts of"),
        (_parameter("{type: number}"), USES, {"value": int(NUMBER)}, "must have at most nine digits"),
        (_parameter(f"{{type: number, minimum: {NUMBER}}}"), USES, {"value": 1}, "minimum and maximum must have"),
        (_parameter("{type: number}"), USES, {"value": 0.4915112345}, "must have at most nine digits"),
    ],
)  # fmt: skip
def test_a_text_that_may_be_confidential_is_refused(
    header: str, where: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as raised:
        _compile(header, where, arguments)

    assert words in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("header", "where", "arguments"),
    [
        ("", "event.label = 'cat'", {}),
        ("", "event.label = 'keep'", {}),
        ("constants: ['%Y-%m-%d', '2026-01-01T00:00:00Z']", "'%Y-%m-%d' < '2026-01-01T00:00:00Z'", {}),
        ("", "event.label_value < 999999999", {}),
        (TEXT, USES, {"value": "chat"}),
        (_parameter("{type: class}"), USES, {"value": "dog"}),
    ],
)
def test_a_class_a_listed_value_or_a_constant_is_allowed(header: str, where: str, arguments: dict[str, Any]) -> None:
    assert _compile(header, where, arguments).texts["classes"] == ("cat", "dog")


def test_a_label_of_events_without_an_outcome_is_one_of_the_classes(shop: Shop) -> None:
    label = {"query": "outcome_within", "classes": ["cat", "dog"], "parameters": {"outcomes": "confirmed", "days": 3}}

    with pytest.raises(UserError, match="outcome is 'yes', but must be one of the classes of the label"):
        shop.build(label=label)


def test_a_manifest_stores_no_comment_description_or_folder(shop: Shop) -> None:
    """Nor what Jinja leaves out, nor a default that is not used. The snapshot can still be built again."""
    folder = f"of-{NUMBER}"
    for kind in ("labels", "rules"):
        (shop.folder / folder / kind).mkdir(parents=True)
    header = (
        f"/*\nsays: As {NUMBER} complained. # {NUMBER}\nkind: event\nparameters:\n"
        f"  decided: {{type: source, default: c{NUMBER}, says: not {NUMBER}}}\n*/\n"
    )
    sql = (
        f"{{# {NUMBER} #}}SELECT confirmed.event_id, confirmed.value AS label, /* {NUMBER} */ confirmed.known_at\n"
        f"AS labelled_at -- {NUMBER}\nFROM {{{{ decided }}}} AS confirmed {{% if false %}} '{NUMBER}' {{% endif %}}\n"
    )
    (shop.folder / folder / "labels" / "own.sql").write_text(header + sql)
    label = {"query": "own", "classes": ["cat", "dog"], "parameters": {"decided": "confirmed"}}
    manifest = shop.build(folder=folder, label=label).manifest
    columns = shop.warehouse.query(f"SELECT * FROM `{shop.warehouse.table_id('snapshot_manifest_v1')}`")

    assert NUMBER not in json.dumps(columns, default=str)
    assert compile_dataset(shop.warehouse, dataset_of(manifest)).snapshot_id == manifest.snapshot_id
    assert verify(shop.warehouse, manifest, lambda _: None).findings == ()
