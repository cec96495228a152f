"""The registry finds heads by name, version and encoder, and registers each version once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rawless.errors import UserError
from rawless.heads import artefact, registry
from rawless.heads.artefact import HeadManifest, Tensor
from rawless.heads.metrics import Metric
from rawless.heads.publish import publish
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
    with pytest.raises(UserError, match=r"There is no head 'othre' \(did you mean other\?\)"):
        registry.find(warehouse, "othre")


def test_a_version_is_registered_once(warehouse: Warehouse) -> None:
    assert registry.register(warehouse, _manifest("one", 1))

    assert not registry.register(warehouse, _manifest("one", 1).model_copy(update={"digest": "other"}))
    assert [head.artefact_digest for head in registry.heads(warehouse)] == ["d"]


@pytest.mark.parametrize("is_one_machine", [True, False])
def test_two_heads_that_are_published_at_the_same_time_get_two_versions(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_one_machine: bool
) -> None:
    homes = {"first": tmp_path, "second": tmp_path if is_one_machine else tmp_path / "elsewhere"}
    both_know_the_next_version = threading.Barrier(2)
    next_version = registry.next_version

    def wait_for_the_other(*arguments: Any) -> int:
        version = next_version(*arguments)
        both_know_the_next_version.wait(10)
        return version

    def run(name: str) -> tuple[HeadManifest, Path]:
        return publish(replace(warehouse), _manifest("one", 1), name.encode(), homes[name])

    monkeypatch.setattr(registry, "next_version", wait_for_the_other)
    with ThreadPoolExecutor(2) as pool:
        published = list(pool.map(run, homes))

    assert {manifest.version for manifest, _ in published} == {1, 2}
    registered = {head.version: head.artefact_digest for head in registry.heads(warehouse, "one")}
    assert registered == {manifest.version: artefact.read(folder).manifest.digest for manifest, folder in published}
    assert {path for home in set(homes.values()) for path in (home / "one").iterdir()} == {
        folder for _, folder in published
    }


def test_the_folder_that_a_killed_process_left_is_skipped(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "one" / "1").mkdir(parents=True)

    manifest, folder = publish(warehouse, _manifest("one", 1), b"graph", tmp_path)
    assert (manifest.version, folder) == (2, tmp_path / "one" / "2")
