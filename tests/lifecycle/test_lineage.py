"""The lineage of an encoder: each version with what depends on it, and the encoders that were made of it."""

from datetime import UTC, datetime, timedelta

import pytest

from encoders.adapter import Adapter
from encoders.catalogue import lookup
from encoders.spec import EncoderSpec, canonical_json
from encoders.versions import Bump
from rawless.errors import UserError
from rawless.lifecycle.lineage import DatasetUse, HeadUse, Service, lineage
from rawless.lifecycle.usage import StreamRows
from rawless.report.lineage_chart import draw, relations_of
from rawless.warehouse import stream_pointers
from rawless.warehouse.parameters import parameters
from tests.shop import AS_OF, EVENTS, Shop

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINILM = lookup("minilm@1.0.0")
FIRST = MINILM.model_copy(update={"name": "tiny"})
SECOND = FIRST.model_copy(update={"version": "1.1.0", "pooling": "cls"})
ADAPTER = FIRST.model_copy(
    update={
        "name": "second-from-first",
        "parent": "tiny@1.0.0",
        "adapter": Adapter(
            kind="affine", file="adapter.safetensors", sha256="1" * 64, source=FIRST.fingerprint,
            target=SECOND.fingerprint, full_dimension=384, dimension=384, l2_normalise=True,
        ),
    }
)  # fmt: skip


def register(shop: Shop, spec: EncoderSpec) -> None:
    values = {"name": spec.name, "version": spec.version, "fingerprint": spec.fingerprint}
    values |= {"spec": canonical_json(spec.model_dump(mode="json"))}
    shop.warehouse.query(
        f"INSERT INTO `{shop.warehouse.table_id('encoder_v1')}` (name, version, fingerprint, spec, sealed,"
        " registered_at) VALUES (@name, @version, @fingerprint, PARSE_JSON(@spec, wide_number_mode => 'round'), TRUE,"
        " @at)",
        parameters({**values, "at": AS_OF}),
    )


@pytest.fixture
def used(shop: Shop) -> tuple[Shop, str]:
    """A shop with two versions of an encoder, a snapshot and a head of the first, and an adapter; the snapshot's id."""
    for spec in (FIRST, SECOND, ADAPTER):
        register(shop, spec)
    shop.upload(range(EVENTS, EVENTS + 3), stream="other", encoder="tiny", encoder_version="1.1.0",
                encoder_fingerprint=SECOND.fingerprint)  # fmt: skip
    shop.warehouse.query(
        f"UPDATE `{shop.warehouse.table_id('embedding_event_v1')}` SET encoder_fingerprint = @fingerprint"
        " WHERE encoder_version = '1.0.0' AND occurred_at > TIMESTAMP_SECONDS(0)",
        parameters({"fingerprint": FIRST.fingerprint}),
    )
    snapshot_id = shop.build().manifest.snapshot_id
    for version in (1, 2):
        shop.warehouse.query(
            f"INSERT INTO `{shop.warehouse.table_id('head_v1')}` (head, version, kind, snapshot_id, fingerprint,"
            " metrics, artefact_digest, created_at) VALUES ('cats', @version, 'linear', @id, @fingerprint, [], 'd',"
            " @at)",
            parameters({"version": version, "id": snapshot_id, "fingerprint": FIRST.fingerprint, "at": AS_OF}),
        )
    before = stream_pointers.read(shop.warehouse, "upload")
    stream_pointers.point(shop.warehouse, before, {FIRST.fingerprint: "live", SECOND.fingerprint: "shadow"})
    return shop, snapshot_id


def test_what_depends_on_each_version_is_found_and_drawn(used: tuple[Shop, str]) -> None:
    shop, snapshot_id = used

    found = lineage(shop.warehouse, "tiny", [Service("support", {"tiny@1.0.0": ["cats@2"]})], NOW)

    first, second, adapter = found.versions
    assert [each.spec.ref for each in found.versions] == ["tiny@1.0.0", "tiny@1.1.0", "second-from-first@1.0.0"]
    newest, oldest = AS_OF - timedelta(hours=1), AS_OF - timedelta(hours=12 * (EVENTS - 1) + 1)
    assert first.streams == (StreamRows("upload", EVENTS, oldest, newest),)
    assert (first.roles, second.roles) == ({"upload": "live"}, {"upload": "shadow"})
    assert first.datasets == (DatasetUse("uploads", "upload", (snapshot_id,)),)
    assert first.heads == (HeadUse("cats", (2, 1), ("uploads",)),)
    assert first.services == (("support", "cats@2"),)
    assert (second.datasets, second.heads, adapter.streams) == ((), (), ())
    (step,) = found.steps
    assert (step.before, step.after, step.bump) == ("tiny@1.0.0", "tiny@1.1.0", Bump.MINOR)
    assert [change.field for change in step.changes] == ["pooling"]
    assert sorted(relations_of(found)) == [
        "second-from-first@1.0.0 maps into the space of tiny@1.1.0.",
        "second-from-first@1.0.0 maps vectors of tiny@1.0.0.",
        "second-from-first@1.0.0 was made of tiny@1.0.0.",
    ]
    drawn = draw(found)
    for name in ("tiny@1.0.0", "tiny@1.1.0", "upload", "uploads", "cats@2", "support", f"{EVENTS} rows, live"):
        assert f">{name}<" in drawn
    assert "person-" not in drawn


def test_the_lineage_of_an_adapter_shows_what_it_was_made_of(used: tuple[Shop, str]) -> None:
    shop, _ = used

    found = lineage(shop.warehouse, "second-from-first", [], NOW)

    assert [each.spec.ref for each in found.versions] == ["second-from-first@1.0.0", "tiny@1.0.0", "tiny@1.1.0"]
    assert found.steps == ()


def test_an_unknown_encoder_is_refused(shop: Shop) -> None:
    with pytest.raises(UserError, match=r"There is no sealed encoder 'tiny@1\.0\.0': name one of .*minilm"):
        lineage(shop.warehouse, "tiny@1.0.0", [], NOW)
