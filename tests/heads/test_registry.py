"""The registry finds heads by name, version and encoder, and registers each version once."""

from datetime import UTC, datetime

import pytest

from rawless.errors import UserError
from rawless.heads import registry
from rawless.heads.artefact import HeadManifest, Tensor
from rawless.heads.metrics import Metric
from rawless.warehouse.client import Warehouse


def _manifest(head: str, version: int, fingerprint: str = "f" * 64) -> HeadManifest:
    return HeadManifest(
        head=head, version=version, kind="linear", encoder="tiny", encoder_version="1.0.0", fingerprint=fingerprint,
        snapshot_id="a" * 24, classes=("x", "y"), inputs=(Tensor("embedding", ("batch", 2), "float32"),),
        outputs=(Tensor("probabilities", ("batch", 2), "float32"),),
        metrics=(Metric("accuracy", 0.9, 0.8, 0.95), Metric("roc_auc", float("nan"), 0.0, 0.0)),
        hyperparameters={"seed": 0}, libraries={}, created_at=datetime(2026, 1, version, tzinfo=UTC), digest="d",
    )  # fmt: skip


def test_heads_are_found_by_name_version_and_encoder(warehouse: Warehouse) -> None:
    for manifest in (_manifest("one", 1), _manifest("one", 2, "e" * 64), _manifest("other", 1)):
        assert registry.next_version(warehouse, manifest.head) == manifest.version
        registry.register(warehouse, manifest)

    assert registry.find(warehouse, "one").version == 2
    assert registry.find(warehouse, "one@1").fingerprint == "f" * 64
    assert [(head.head, head.version) for head in registry.heads(warehouse)] == [("one", 2), ("one", 1), ("other", 1)]
    needing = registry.heads(warehouse, fingerprint="f" * 64)
    assert {(head.head, head.version) for head in needing} == {("one", 1), ("other", 1)}
    assert needing[0].metrics == (Metric("accuracy", 0.9, 0.8, 0.95),)
    with pytest.raises(UserError, match="There is no head 'one@3'"):
        registry.find(warehouse, "one@3")


def test_a_version_is_registered_once(warehouse: Warehouse) -> None:
    registry.register(warehouse, _manifest("one", 1))

    with pytest.raises(UserError, match="Another process has just registered version 1"):
        registry.register(warehouse, _manifest("one", 1).model_copy(update={"digest": "other"}))
    assert [head.artefact_digest for head in registry.heads(warehouse)] == ["d"]
