"""Manifests: a snapshot is committed once, and the last request decides what the name of a dataset means."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.cloud import bigquery

from rawless.datasets import build as building
from rawless.datasets.manifest import commit, record_request
from rawless.datasets.snapshots import find
from tests.shop import Shop


def test_a_snapshot_is_committed_once_and_its_last_request_counts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    query, ids = bigquery.Client.query, []

    def watched(self: bigquery.Client, statement: str, **options: Any) -> bigquery.QueryJob:
        job = query(self, statement, **options)
        if "job_id" in options:
            ids.append(job.job_id)
        return job

    def commit_twice(*arguments: Any, **named: Any) -> None:
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(commit, *arguments, **named) for _ in range(2)]:
                done.result()

    monkeypatch.setattr(bigquery.Client, "query", watched)
    monkeypatch.setattr(building, "commit", commit_twice)
    manifest = shop.build().manifest

    (found,) = shop.warehouse.query(f"SELECT COUNT(*) AS n FROM `{shop.warehouse.table_id('snapshot_manifest_v1')}`")
    assert found["n"] == 1
    assert find(shop.warehouse, manifest.snapshot_id) == manifest
    first, second = sorted(int(job_id.rpartition("-")[2]) for job_id in ids)
    assert second == first + 1  # neither can overtake the other; an earlier test may have committed this snapshot, too

    # A request that is recorded late does not replace a later one.
    table = shop.warehouse.table_id("snapshot_manifest_v1")
    record_request(shop.warehouse, manifest.dataset, manifest.snapshot_id)
    shop.warehouse.query(f"UPDATE `{table}` SET requested_at = TIMESTAMP '2999-01-01' WHERE requested_at IS NOT NULL")
    record_request(shop.warehouse, manifest.dataset, manifest.snapshot_id)
    (found,) = shop.warehouse.query(f"SELECT requested_at FROM `{table}`")
    assert found["requested_at"].year == 2999
