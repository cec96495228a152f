"""The leakage gate: which audits and waivers let an encoder into a stream, whoever may only list rows."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest
from google.api_core.exceptions import Forbidden
from google.cloud import bigquery

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.warehouse.client import Warehouse
from rawless.warehouse.leakage_gate import GatedMetric, enforce_gate, gated_metrics
from rawless.warehouse.parameters import parameters

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=200)
SPECS = {"minilm@1.0.0": lookup("minilm@1.0.0")}
OWN = SPECS["minilm@1.0.0"].fingerprint
AUDIT = {"encoder_fingerprint": OWN, "metric": "words_f1", "value": 0.45, "low": 0.4, "high": 0.49, "audited_at": NOW}
WAIVER = {"encoder_fingerprint": OWN, "metric": "words_f1", "expires_at": NOW + timedelta(days=1)}
HIGH = {"value": 0.49, "high": 0.51}

CASES: dict[str, tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = {
    "measured below its limit": ("within", [{}], []),
    "measured for all streams": ("within", [{"stream": None}], []),
    "measured at the limit, without an interval": ("within", [{"value": 0.5, "high": None, "low": None}], []),
    "measured just in time": ("within", [{"audited_at": NOW - timedelta(days=90)}], []),
    "measured by an attacker with few contents": ("missing", [{"auxiliary_rows": 999}], []),
    "measured above before, and by an attacker with few contents since": (
        "above",
        [{**HIGH, "audited_at": NOW - timedelta(days=1)}, {"auxiliary_rows": 400}],
        [],
    ),
    "measured above before": ("within", [{**HIGH, "audited_at": NOW - timedelta(days=1)}, {}], []),
    "never measured": ("missing", [], []),
    "another stream measured": ("missing", [{"stream": "other"}], []),
    "another encoder measured": ("missing", [{"encoder_fingerprint": "0" * 64}], []),
    "another metric measured": ("missing", [{"metric": "words_recall"}], []),
    "measured too long ago": ("old", [{"audited_at": NOW - timedelta(days=90, seconds=1)}], []),
    "with an interval that reaches above": ("above", [HIGH], []),
    "measured above, without an interval": ("above", [{"value": 0.51, "high": None, "low": None}], []),
    "measured below before": ("above", [{"audited_at": NOW - timedelta(days=1)}, HIGH], []),
    "measured below by another attack at once": ("above", [HIGH, {}], []),
    "measured as no number": ("above", [{"high": float("nan")}], []),
    "measured below for another head": ("above", [{**HIGH, "head": "a@1"}, {"head": "b@1"}], []),
    "measured below for the head's next version": (
        "within",
        [{**HIGH, "head": "a@1", "audited_at": NOW - timedelta(days=1)}, {"head": "a@2"}],
        [],
    ),
    "measured above for a head long ago": (
        "within",
        [{**HIGH, "head": "a@1", "audited_at": LONG_AGO}, {"head": "b@1"}],
        [],
    ),
    "waived": ("above, waived", [HIGH], [{}]),
    "never measured, and waived": ("missing, waived", [], [{}]),
    "waived twice": ("above, waived", [HIGH], [{"expires_at": NOW}, {}]),
    "waived until now": ("above", [HIGH], [{"expires_at": NOW}]),
    "waived in another stream": ("above", [HIGH], [{"stream": "other"}]),
    "waived for another encoder": ("above", [HIGH], [{"encoder_fingerprint": "0" * 64}]),
    "waived for another metric": ("above", [HIGH], [{"metric": "words_recall"}]),
}


def _stream(name: str = "gated", **leakage: Any) -> Stream:
    gate = {"max": {"words_f1": 0.5}, "max_age": "90d", **leakage}
    return Stream(stream=name, modality="text", encoders=tuple(SPECS), leakage=gate)


def _insert(warehouse: Warehouse, name: str, row: Mapping[str, Any]) -> None:
    columns, values = ", ".join(row), ", ".join(f"@{column}" for column in row)
    warehouse.query(f"INSERT INTO `{warehouse.table_id(name)}` ({columns}) VALUES ({values})", parameters(row))


def audit(warehouse: Warehouse, **changed: Any) -> None:
    """Write a row of an audit."""
    row = {"audit_id": "a", "attack": "words", "control": 0.25, "auxiliary_rows": 3000, "attacked_rows": 300}
    given = {**row, "stream": "gated", **AUDIT, **changed}
    _insert(warehouse, "leakage_audit_v1", {name: value for name, value in given.items() if value is not None})


def waive(warehouse: Warehouse, **changed: Any) -> None:
    """Write a waiver."""
    row = {"waiver_id": "w", "reason": "test_data", "ticket": "PRIV-1", "granted_by": "ann", "granted_at": NOW}
    _insert(warehouse, "waiver_v1", {**row, "stream": "gated", **WAIVER, **changed})


class _Rows:
    """A warehouse that has the rows of one case, as `list_rows` returns them."""

    emulator = None

    def __init__(self, audits: list[dict[str, Any]], waivers: list[dict[str, Any]]) -> None:
        self._rows = {
            "leakage_audit_v1": [
                {"stream": "gated", "head": None, "auxiliary_rows": 1000, **AUDIT, **row} for row in audits
            ],
            "waiver_v1": [{"stream": "gated", "ticket": "PRIV-1", **WAIVER, **row} for row in waivers],
        }

    def list_rows(self, name: str) -> list[dict[str, Any]]:
        return self._rows[name]


def _state(metric: GatedMetric) -> str:
    return f"{metric.state}, waived" if metric.ticket else metric.state


@pytest.mark.parametrize(("expected", "audits", "waivers"), CASES.values(), ids=CASES)
def test_an_encoder_passes_by_its_last_audit_or_a_valid_waiver(
    expected: str, audits: list[dict[str, Any]], waivers: list[dict[str, Any]]
) -> None:
    rows: Any = _Rows(audits, waivers)

    (metric,) = gated_metrics(rows, _stream(), SPECS, NOW)

    assert _state(metric) == expected
    assert metric.passes is (expected == "within" or "waived" in expected)


def test_the_gate_reads_the_tables_of_an_account_that_may_run_no_query(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit(warehouse)
    audit(warehouse, stream=None, metric="linkage_same", value=0.9, high=None, low=None)
    waive(warehouse, metric="linkage_same")
    stream = _stream(max={"words_f1": 0.5, "linkage_same": 0.2})

    def refuse(*_: object, **__: object) -> NoReturn:
        raise Forbidden("the account lacks bigquery.jobs.create")

    monkeypatch.setattr(bigquery.Client, "query", refuse)

    (waived,) = enforce_gate(warehouse, stream, SPECS)
    assert waived == (
        f"The leakage gate of gated lets pass minilm@1.0.0: linkage_same is up to 0.900 in the audit of {NOW:%Y-%m-%d}"
        f", but must be at most 0.2; waived until {NOW + timedelta(days=1):%Y-%m-%d %H:%M} UTC by PRIV-1."
    )


REFUSALS = {
    "missing": (
        [],
        "words_f1 must be at most 0.5, but no audit has measured it with 1,000 contents or more: run `rawless ",
    ),
    "old": (
        [{"audited_at": LONG_AGO}],
        f"words_f1 is up to 0.490 in the audit of {LONG_AGO:%Y-%m-%d}, which is older than 90 days: run `rawless ",
    ),
    "above": (
        [HIGH],
        f"words_f1 is up to 0.510 in the audit of {NOW:%Y-%m-%d}, but must be at most 0.5: name an encoder that ",
    ),
}


@pytest.mark.parametrize(("audits", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_one_sentence_with_the_command_that_helps(audits: list[dict[str, Any]], sentence: str) -> None:
    rows: Any = _Rows(audits, [])
    with pytest.raises(UserError) as refused:
        enforce_gate(rows, _stream(), SPECS)

    message = str(refused.value)
    assert message.startswith(f"The leakage gate of gated refuses minilm@1.0.0: {sentence}")
    assert message.endswith(
        "by `rawless audit waive --stream FILE --encoder minilm@1.0.0 --warehouse FILE --metric words_f1 "
        "--reason CODE --ticket ID --until DATE`."
    )
    assert "\n" not in message


def test_an_encoder_that_passes_does_not_open_the_gate_for_another(tiny_sealed: EncoderSpec) -> None:
    rows: Any = _Rows([{}], [])
    with pytest.raises(UserError, match=r"refuses tiny: linkage_same .* `rawless stream check` lists 1 more"):
        enforce_gate(rows, _stream(max={"words_f1": 0.5, "linkage_same": 1}), {"tiny": tiny_sealed})
