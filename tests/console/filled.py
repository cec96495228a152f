"""A warehouse in which much has happened: two streams, encoders, datasets, heads that answer, audits, some overdue."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sin
from pathlib import Path
from typing import Any

from encoders.catalogue import lookup
from rawless.console.source import ServedHead
from rawless.heads import registry
from rawless.heads.deployment import FILE, Change, Deployment
from rawless.heads.metrics import Metric
from rawless.warehouse import stream_pointers
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import register
from rawless.warehouse.rows import PredictionRow, RejectionRow
from tests.report.conftest import head_of
from tests.report.privacy_rows import canary, insert, measure, waiver
from tests.shop import AS_OF, Shop, make_row, open_shop

NOW = AS_OF + timedelta(hours=15)
TINY = "f" * 64
MINILM = lookup("minilm@1.0.0")
RESNET = lookup("resnet18-seeded@1.0.0")


SERVED = ServedHead("shop_service", "pets", ("pets",), ("pets@2",))


@dataclass(frozen=True)
class Filled:
    """The warehouse, the folder of heads, and what tests ask for."""

    warehouse: Warehouse
    head_folder: Path
    first_snapshot: str
    last_snapshot: str


def fill(warehouse: Warehouse, folder: Path, text: str = "chat") -> Filled:
    """Fill a warehouse; `text` is written wherever a name may be any text."""
    shop = open_shop(warehouse, folder)
    _confirm(shop, range(60, 120))
    first = shop.build(as_of=(AS_OF - timedelta(minutes=2)).isoformat()).manifest.snapshot_id
    _confirm(shop, range(120))
    last = shop.build().manifest.snapshot_id
    _streams(warehouse, text)
    _encoders(warehouse)
    _heads(warehouse, first, folder / "heads")
    _predictions(warehouse)
    _audits(warehouse, text)
    return Filled(warehouse, folder / "heads", first, last)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def _confirm(shop: Shop, numbers: range) -> None:
    values = ["cat" if number % 2 else "dog" for number in numbers]
    times = [AS_OF - timedelta(minutes=5)] * len(numbers)
    shop.load("confirmed", {"event_id": [f"e-{n}" for n in numbers], "value": values, "confirmed_at": times})


def _streams(warehouse: Warehouse, text: str) -> None:
    fields: Mapping[str, Any] = {
        "stream": "support_message", "modality": "text", "encoder": MINILM.name, "encoder_version": MINILM.version,
        "encoder_fingerprint": MINILM.fingerprint, "attributes": (("channel", text),),
    }  # fmt: skip
    rows = []
    for day in range(28):
        for number in range(int(20 + 12 * sin(day / 3)) + day % 3):
            at = ago(day + number / 200)
            rows.append(make_row(len(rows), {**fields, "occurred_at": at, "logged_at": at}))
    append_all(warehouse, rows)
    reasons = ("undecodable_image", "payload_too_large", "undecodable_image", "too_many_pixels")
    append_all(
        warehouse,
        [
            RejectionRow(
                stream="upload", event_id=None, subject_key=None, subject_key_id=None, message_id=f"{day}-{number}",
                stage="encode", reason=reasons[(day + number) % 4], size_bucket="<10000",
                encoder_fingerprint=TINY, rejected_at=ago(day),
            )
            for day in range(12)
            for number in range(1 + (day * 7) % 5)
        ],
    )  # fmt: skip
    drifted = ("mean_shift", 0.31, 0.25), ("mmd", 0.02, 0.03), ("rejection_share", 0.04, 0.01)
    insert(
        warehouse,
        "drift_v1",
        [
            {
                "stream": "support_message", "encoder_fingerprint": MINILM.fingerprint, "metric": metric,
                "reference_start_at": ago(40), "reference_end_at": ago(12), "start_at": ago(day + 1),
                "end_at": ago(day), "row_count": 24, "value": value * (1 if day < 3 else 0.4), "threshold": threshold,
                "measured_at": ago(day),
            }
            for day in range(10)
            for metric, value, threshold in drifted
        ],
    )  # fmt: skip


def _encoders(warehouse: Warehouse) -> None:
    register(warehouse, MINILM)
    register(warehouse, RESNET)
    before = stream_pointers.read(warehouse, "support_message")
    stream_pointers.point(warehouse, before, {MINILM.fingerprint: "live", RESNET.fingerprint: "shadow"})


def _heads(warehouse: Warehouse, snapshot_id: str, folder: Path) -> None:
    (folder / "pets").mkdir(parents=True)
    change = Change(action="deploy", version=3, at=ago(20), space=TINY)
    (folder / "pets" / FILE).write_text(Deployment(changes=(change,)).model_dump_json())
    for version, accuracy in ((1, 0.81), (2, 0.86), (3, 0.9)):
        metrics = (Metric("accuracy", accuracy, accuracy - 0.05, accuracy + 0.04), Metric("macro_f1", 0.8, 0.7, 0.9))
        manifest, _ = head_of(head="pets", snapshot_id=snapshot_id)
        registry.register(
            warehouse,
            manifest.model_copy(update={"version": version, "metrics": metrics, "created_at": ago(30 - version)}),
        )
    manifest, _ = head_of(head="topic", snapshot_id=None)
    registry.register(
        warehouse,
        manifest.model_copy(update={"kind": "imported", "fingerprint": MINILM.fingerprint, "snapshot_id": None}),
    )


def _predictions(warehouse: Warehouse) -> None:
    """Predictions by two versions of the events of the last 20 days, of which version 3 is right more often."""
    rows = []
    for version, wrong in ((2, 4), (3, 7)):
        for number in range(40):
            at = AS_OF - timedelta(hours=12 * number)
            label, other = ("cat", "dog") if number % 2 else ("dog", "cat")
            answer, sure = (other, 0.6) if number % wrong == 0 else (label, 0.97)
            likely = ((answer, sure), ({"cat": "dog", "dog": "cat"}[answer], 1 - sure))
            abstains = number % 13 == 5
            rows.append(
                PredictionRow(
                    stream="upload", event_id=f"e-{number}", subject_key=None, subject_key_id=None, caller_key=None,
                    head="pets", version=version, probabilities=() if abstains else likely,
                    abstention="out_of_domain" if abstains else None, predicted_at=at,
                )
            )  # fmt: skip
    append_all(warehouse, rows)


def _audits(warehouse: Warehouse, text: str) -> None:
    insert(
        warehouse,
        "leakage_audit_v1",
        [
            measure("words_f1", 0.657, encoder_fingerprint=MINILM.fingerprint, audited_at=ago(120)),
            measure("content_words_f1", 0.41, encoder_fingerprint=MINILM.fingerprint, audited_at=ago(120)),
            measure(
                "membership_tpr", 0.08, 0.01, 0.01, 0.01, attack="membership", encoder_fingerprint=TINY,
                head="pets@3", stream=None, audited_at=ago(3),
            ),
        ],
    )  # fmt: skip
    canary(warehouse, "support_message", traces={"warehouse": 0, "local_log": 2, "cloud_logging": -1})
    insert(warehouse, "waiver_v1", [waiver(9, ticket="PRIV-17", granted_at=ago(20), expires_at=ago(-9))])
    _ = text
