"""Random small warehouses: the local BigQuery, Google's evaluator and plain Python build the same snapshot."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from bqemulator.sql.builtin_udfs import bqemu_farm_fingerprint
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from rawless.datasets.build import BuildResult, build
from rawless.datasets.compile import compile_dataset
from rawless.datasets.dataset import open_dataset
from rawless.datasets.snapshot_tables import table_id
from rawless.errors import UserError
from rawless.local import farm_fingerprint
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.load import load_file
from rawless.warehouse.parameters import parameters
from rawless.warehouse.rows import EmbeddingRow
from tests.sql.oracle import AS_OF, Delivery, Fact, Oracle, World, at, kind_of_label

pytestmark = pytest.mark.full
farm_fingerprint.correct()
_numbers = itertools.count()

EVENTS = [f"e-{number}" for number in range(20)]
PEOPLE = [f"p-{number}" for number in range(9)]
PAST = range(-960, 0, 120)
HOURS = (*PAST, *PAST, -1, 0, 1, 24)
"""Few, so that times are often equal; some are after the as-of."""
SALTS = ("a", "b", "c")
OWN_LABELS = {
    "confirmed": ("event", "event_id"),
    "same_topic": ("pair", "left_event_id, same_topic.right_event_id"),
    "churned": ("subject", "person_key"),
}
"""Kind and columns of the labels that are not built in. Each reads the table of its name."""
TABLES: dict[str, tuple[str, ...]] = {
    "confirmed": ("event_id", "value"),
    "same_topic": ("left_event_id", "right_event_id", "value"),
    "churned": ("subject_key", "value"),
    "decisions": ("event_id", "decision"),
    "reversals": ("event_id",),
    "reviews": ("event_id", "reviewer", "verdict"),
    "outcomes": ("subject_key",),
    "account_closed": ("subject_key",),
    "account_reopened": ("subject_key",),
    "consent_given": ("subject_key",),
    "consent_withdrawn": ("subject_key",),
    "staff": ("subject_key",),
}
FULL = {
    "confirmed": 40,
    "same_topic": 60,
    "churned": 20,
    "decisions": 40,
    "reviews": 60,
    "consent_given": 14,
    "outcomes": 14,
}
"""Tables with many rows; the others have few."""
LABELS: list[tuple[str, dict[str, Sequence[Any]]]] = [
    ("confirmed", {}),
    ("same_topic", {}),
    ("churned", {"window": (10, 40)}),
    ("decision_with_reversal", {"decisions": ["decisions"], "reversals": ["reversals"]}),
    ("decision_with_reversal", {"decisions": ["decisions"], "reversals": ["reversals"], "reversed": ["ham"]}),
    ("agreement_of_reviewers", {"reviews": ["reviews"], "reviewers": (1, 2)}),
    ("outcome_within", {"outcomes": ["outcomes"], "days": (5, 20), "outcome": ["spam"], "none": ["ham"]}),
]
"""Labels with all values that a parameter can have."""
RULES: list[tuple[str, dict[str, Sequence[Any]]]] = [
    ("attribute_in", {"attribute": ["channel"], "values": (["chat"], ["chat", "email"])}),
    ("cap_per_subject", {"events": (1, 2), "salt": SALTS}),
    ("exclude_closed_accounts", {"closed": ["account_closed"]}),
    ("exclude_closed_accounts", {"closed": ["account_closed"], "reopened": ["account_reopened"]}),
    ("exclude_subjects", {"subjects": ["staff"]}),
    ("occurred_within", {"days": (20, 30)}),
    ("one_label_only", {}),
    ("require_consent", {"given": ["consent_given"]}),
    ("require_consent", {"given": ["consent_given"], "withdrawn": ["consent_withdrawn"]}),
    ("sample", {"share": (0.5, 0.9), "salt": SALTS}),
]


def make_world(random: Random) -> World:
    """Return a world in which most events count, and some are told several times, erased, or told too late."""

    def drawn(values: dict[str, Sequence[Any]]) -> dict[str, Any]:
        return {name: random.choice(choices) for name, choices in values.items()}

    label, label_parameters = random.choice(LABELS)
    rules = [(name, drawn(values)) for name, values in random.sample(RULES, random.choice((0, 1, 2, 3)))]
    label_parameters = drawn(label_parameters)
    arguments = [label, *label_parameters.values(), *(each for _, values in rules for each in values.values())]
    read = [name for name in TABLES if name in arguments]
    return World(
        deliveries=[*dict.fromkeys(_deliveries(random))],
        tables={name: _facts(random, name) for name in read},
        erased={random.choice(PEOPLE): random.choice(HOURS)} if random.random() < 0.5 else {},
        persons=random.choice(({}, {"p-0": "p-0", "p-5": "p-0"})),
        label=label,
        label_parameters=label_parameters,
        maturity=random.choice((0, 0, 120)),
        rules=rules,
        split=random.choice(
            (
                {"by": "person", "salt": random.choice(SALTS)},
                {"by": "person", "salt": random.choice(SALTS), "without_subject": "drop"},
                {"by": "time", "validation_from": -480, "test_from": -240, "gap": random.choice((24, 120))},
            )
        ),
    )


def _deliveries(random: Random) -> Iterator[Delivery]:
    """Yield a delivery of each event, and some more."""
    for event in [*EVENTS, *random.choices(EVENTS, k=random.randrange(15))]:
        person, origin = random.choice((*PEOPLE, None)), random.choice(("ingest", "ingest", "serving"))
        occurred = random.choice(HOURS)
        logged = occurred + random.choice((0, 0, 120))
        yield Delivery(event, person, origin, occurred, logged, random.choice(("chat", "chat", "email", None)))


def _facts(random: Random, table: str) -> list[Fact]:
    """Return rows of a table; the first, which is known too late, gives all columns a value."""
    texts = {"value": ("ham", "spam"), "decision": ("ham", "spam"), "verdict": ("ham", "spam")}
    choices = {
        "reviewer": ("r-1", "r-2"),
        "subject_key": (*PEOPLE, *PEOPLE, None),
        **{name: (*values, *values, *values, None) for name, values in texts.items()},
    }
    rows = [dict.fromkeys(TABLES[table], "nothing") | {"known": 24}]
    for _ in range(FULL.get(table, random.randrange(5))):
        row = {column: random.choice(choices.get(column, EVENTS)) for column in TABLES[table]}
        rows.append({**row, "known": random.choice(HOURS)})
    return rows


class Engine:
    """A warehouse in which worlds are built, each with a stream and persons of its own."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self.warehouse, self.folder = warehouse, folder
        (folder / "labels").mkdir(parents=True, exist_ok=True)
        for name, (kind, column) in OWN_LABELS.items():
            (folder / "labels" / f"{name}.sql").write_text(
                f"/*\nsays: What is told.\nkind: {kind}\n*/\nSELECT {name}.{column}, {name}.value AS label,"
                f" {name}.known_at AS labelled_at FROM {name}\n"
            )

    def fill(self, world: World, stream: str) -> None:
        append_all(self.warehouse, [_row(stream, *each) for each in enumerate(world.deliveries)])
        for name, rows in world.tables.items():
            columns: dict[str, Any] = {
                column: pa.array([row[column] for row in rows], pa.string()) for column in rows[0] if column != "known"
            }
            columns["known_at"] = pa.array([at(row["known"]) for row in rows], pa.timestamp("us", "UTC"))
            pyarrow.parquet.write_table(pa.table(columns), self.folder / f"{name}.parquet")
            load_file(self.warehouse, name, self.folder / f"{name}.parquet", existing="replace")
        for name in ("tombstone_v1", "subject_map_v1"):
            self.warehouse.query(f"DELETE FROM `{self.warehouse.table_id(name)}` WHERE TRUE")
        for key, hour in world.erased.items():
            self._insert("tombstone_v1", person_key=key, subject_keys=[key], erased_before=at(hour), certificate_id="c")
        for key, person in world.persons.items():
            self._insert("subject_map_v1", customer_id=key, subject_key=key, subject_key_id="k1", person_key=person)

    def _insert(self, table: str, **values: Any) -> None:
        names = ", ".join(values)
        given = ", ".join(f"@{name}" for name in values)
        statement = f"INSERT INTO `{self.warehouse.table_id(table)}` ({names}) VALUES ({given})"
        self.warehouse.query(statement, parameters(values))

    def build(self, world: World, stream: str) -> BuildResult:
        values = dict(world.label_parameters)
        label: dict[str, Any] = {"query": world.label, "kind": kind_of_label(world.label), "classes": ["ham", "spam"]}
        label |= {"maturity": f"{world.maturity}h"} if world.maturity else {}
        label |= {"window": f"{values.pop('window')}d"} if "window" in values else {}
        split: dict[str, Any] = {"train": 0.6, "validation": 0.2, "test": 0.2} if world.split["by"] == "person" else {}
        for name, value in world.split.items():
            split[name] = at(value).isoformat() if name.endswith("_from") else f"{value}h" if name == "gap" else value
        fields = {
            "dataset": "worlds",
            "stream": stream,
            "encoder": "minilm@1.0.0",
            "sources": [{"table": name, "known_at": "known_at"} for name in world.tables],
            "label": {**label, "parameters": values},
            "rules": [{name: arguments} for name, arguments in world.rules],
            "split": split,
            "as_of": AS_OF.isoformat(),
        }
        (self.folder / "dataset.yaml").write_text(yaml.safe_dump(fields))
        dataset = open_dataset(self.folder / "dataset.yaml")
        return build(compile_dataset(self.warehouse, dataset), timedelta(0), on_step=lambda _: None)

    def rows(self, snapshot_id: str) -> list[dict[str, Any]]:
        statement = f"SELECT * FROM `{table_id(self.warehouse, snapshot_id)}`"
        found = self.warehouse.query(statement)
        return sorted(found, key=lambda row: (row["event_id"] or "", row["left_event_id"] or "", row["right_event_id"]))


def _row(stream: str, number: int, delivery: Delivery) -> EmbeddingRow:
    return EmbeddingRow(
        stream=stream,
        event_id=delivery.event,
        subject_key=delivery.person,
        subject_key_id=delivery.person and "k1",
        occurred_at=delivery.occurred_at,
        logged_at=at(delivery.logged),
        origin=delivery.origin,
        caller_key=None,
        modality="text",
        encoder="minilm",
        encoder_version="1.0.0",
        encoder_fingerprint="f1",
        embedding=np.array([number, 1.0], np.float32),
        truncated=False,
        attributes=tuple((each["key"], each["value"]) for each in delivery.attributes),
    )


def _answer(engine: Engine, world: World, stream: str) -> dict[str, Any]:
    """Build a world on an engine, and return all that must be the same on another."""
    engine.fill(world, stream)
    try:
        built = engine.build(world, stream)
    except UserError as error:
        return {"error": str(error)}
    manifest = built.manifest
    return {
        "rows": engine.rows(manifest.snapshot_id),
        "ledger": [(line.rule, line.rows_in, line.removed) for line in manifest.ledger],
        "counts": manifest.counts,
        "digest": manifest.row_digest,
        "sources": manifest.sources,
        "warnings": built.warnings,
    }


def _check(answer: dict[str, Any], world: World) -> None:
    """Compare a snapshot with the one that plain Python computes."""
    oracle = Oracle(world, bqemu_farm_fingerprint)
    left = oracle.left()
    if len({each.label for each in left}) < 2:
        assert "error" in answer, answer
        return
    assert "error" not in answer, answer
    assert [(rule, removed) for rule, _, removed in answer["ledger"]] == oracle.lines
    assert answer["ledger"][0][1] == len(oracle.examples)
    vectors = {delivery: number for number, delivery in enumerate(world.deliveries)}
    expected = {
        tuple(each.event for each in example.deliveries): (
            example.label,
            example.splits[0],
            example.persons[0],
            *(vectors[each] for each in example.deliveries),
        )
        for example in left
    }
    found = {
        (row["event_id"],) if row["event_id"] else (row["left_event_id"], row["right_event_id"]): (
            *(row["label"], row["split"], row["person_key"], row["embedding"][0]),
            *row["right_embedding"][:1],
        )
        for row in answer["rows"]
    }
    assert found == expected
    assert len(found) == len(answer["rows"])


@given(st.randoms(use_true_random=True))
@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller seed makes no smaller warehouse
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_all_build_the_same_snapshot_of_a_random_warehouse(
    warehouse: Warehouse, evaluated: Warehouse, tmp_path: Path, random: Random
) -> None:
    world, stream = make_world(random), f"world_{next(_numbers)}"
    note(world)
    local, google = (
        _answer(Engine(engine, tmp_path / engine.config.project), world, stream) for engine in (warehouse, evaluated)
    )

    assert google == local
    _check(google, world)
