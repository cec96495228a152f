"""A head over a snapshot: with its features, and with the persons whom an erasure must find."""

from datetime import timedelta
from pathlib import Path

import pytest

from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.features import HeadFeature
from rawless.heads.session import open_head
from rawless.prediction.request import PredictRequest
from rawless.prediction.snapshot import predict_snapshot
from rawless.serving.classification import call_head
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from tests.drawn_heads import write_head
from tests.prediction.conftest import Rows, probabilities
from tests.shop import AS_OF, Shop

PLAN = {"table": "account_plan", "value": "plan", "known_at": "booked_at", "classes": ["free", "gold"]}
FEATURE = HeadFeature(name="plan", classes=("free", "gold"))


@pytest.fixture
def head(tiny_sealed: EncoderSpec, heads: Path) -> PredictRequest:
    """A head over the shop's vectors and the plan of a customer."""
    spec = tiny_sealed.model_copy(update={"dimension": 8})
    write_head(heads, "topic", spec=spec, fingerprint="f" * 64, encoder_space="", features=(FEATURE,))
    return PredictRequest("topic@1", heads=heads)


def test_each_row_is_predicted_with_its_features_and_has_its_person(
    shop: Shop, own_warehouse: Warehouse, head: PredictRequest, heads: Path, predictions: Rows
) -> None:
    plans = ["gold" if number % 2 else "free" for number in range(40)]
    persons = [f"person-{number}" for number in range(40)]
    shop.load("account_plan", {"subject_key": persons, "plan": plans, "booked_at": [AS_OF - timedelta(days=90)] * 40})
    manifest = shop.build(features={"plan": PLAN}).manifest
    rows = shop.rows(manifest.snapshot_id)
    gone = min(rows)
    own_warehouse.query(
        f"DELETE FROM `{own_warehouse.table_id('embedding_event_v1')}` WHERE event_id = @id AND occurred_at > @at",
        parameters({"id": gone, "at": AS_OF - timedelta(days=400)}),
    )

    summary = predict_snapshot(head, "uploads")

    found, session = predictions(), open_head(heads / "topic" / "1")
    assert (summary["read"], summary["predictions"], summary["left_out"]) == (len(rows), len(rows) - 1, 1)
    assert found.keys() == rows.keys() - {gone}
    for event_id, row in found.items():
        number = int(event_id.removeprefix("e-"))
        expected = call_head(session, rows[event_id]["embedding"], {"plan": plans[number % 40]})
        assert probabilities(row) == pytest.approx(expected.probabilities, abs=1e-6)
        assert (row["subject_key"], row["subject_key_id"]) == (f"person-{number % 40}", "k1")
    assert predict_snapshot(head, manifest.snapshot_id)["predictions"] == len(rows) - 1
    assert predictions() == found


def test_a_snapshot_without_the_features_is_refused(shop: Shop, own_warehouse: Warehouse, head: PredictRequest) -> None:
    shop.build()
    with pytest.raises(UserError, match=r"The head takes the feature plan, but the features of .* are none"):
        predict_snapshot(head, "uploads")


def test_pairs_unknown_snapshots_and_options_of_beam_are_refused(
    shop: Shop, own_warehouse: Warehouse, head: PredictRequest
) -> None:
    with pytest.raises(UserError, match="There is no snapshot and no dataset 'nothing'"):
        predict_snapshot(head, "nothing")
    with pytest.raises(UserError, match="A snapshot is predicted in this process"):
        predict_snapshot(PredictRequest("topic", beam=["--runner=DataflowRunner"]), "uploads")
