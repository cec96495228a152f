"""What depends on an encoder: its rows by stream, snapshots with its vectors, and heads that were trained on them."""

from datetime import datetime, timedelta

from rawless.lifecycle.usage import StreamRows, Usage, usage
from rawless.warehouse.parameters import parameters
from tests.shop import AS_OF, EVENTS, Shop

FINGERPRINT = "f" * 64
"""Of the shop's encoder."""


def occurred_at(number: int) -> datetime:
    return AS_OF - timedelta(hours=12 * number + 1)


def test_rows_snapshots_and_heads_of_an_encoder_are_found(shop: Shop) -> None:
    shop.upload(range(EVENTS, EVENTS + 3), stream="other")
    shop.upload(range(EVENTS + 3, EVENTS + 5), encoder="other", encoder_fingerprint="e" * 64)
    snapshot_id = shop.build().manifest.snapshot_id
    for head, fingerprint in (("cats", FINGERPRINT), ("birds", "e" * 64)):
        shop.warehouse.query(
            f"INSERT INTO `{shop.warehouse.table_id('head_v1')}` (head, version, kind, snapshot_id, fingerprint,"
            " metrics, artefact_digest, created_at) VALUES (@head, 1, 'linear', 's', @fingerprint, [], 'd', @at)",
            parameters({"head": head, "fingerprint": fingerprint, "at": AS_OF}),
        )

    assert usage(shop.warehouse, FINGERPRINT) == Usage(
        (
            StreamRows("other", 3, occurred_at(EVENTS + 2), occurred_at(EVENTS)),
            StreamRows("upload", EVENTS, occurred_at(EVENTS - 1), occurred_at(0)),
        ),
        (f"uploads@{snapshot_id}",),
        ("cats@1",),
    )
    assert usage(shop.warehouse, "0" * 64) == Usage((), (), ())
