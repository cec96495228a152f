"""A head that was trained on adapted rows is of the space that they were mapped into, and says how many there were."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from encoders.adapter import Adapter
from encoders.catalogue import lookup
from encoders.spec import Probe, canonical_json
from rawless.heads import artefact, readers
from rawless.heads.examples import open_task
from rawless.heads.publish import publish_trained
from rawless.heads.session import open_head
from rawless.heads.spec import head_spec
from rawless.heads.training import train
from rawless.warehouse.append import append_all
from rawless.warehouse.rows import EncoderRow
from tests.shop import EVENTS, Shop, make_row

NATIVE = "f" * 64


def test_a_head_says_how_many_rows_were_adapted_and_how_it_does_on_them(shop: Shop, tmp_path: Path) -> None:
    spec = adapt_all(shop)
    manifest = shop.build(adapted=spec, encoder="new@1.0.0", rules=None).manifest
    assert manifest.adapted
    assert manifest.adapted.total == EVENTS

    trained = train(
        open_task(shop.warehouse, head_spec({"head": "pets", "snapshot": "uploads", "kind": "linear"}), manifest), print
    )
    published, folder = publish_trained(shop.warehouse, trained, tmp_path)

    assert (published.encoder, published.fingerprint, published.space) == ("new", NATIVE, NATIVE)
    assert published.adapted == manifest.adapted == artefact.read(folder).manifest.adapted
    open_head(folder).check(NATIVE)
    slices = [each for each in trained.evaluation.slices if each.of == "vector"]
    assert [(each.value, each.rows) for each in slices] == [("adapted", manifest.adapted.rows["test"])]
    frame = readers.frame(shop.warehouse, manifest.snapshot_id)
    assert set(frame["encoder_fingerprint"]) == {manifest.adapted.fingerprint}


def adapt_all(shop: Shop) -> str:
    """Write adapted rows of all uploads, and return the name of the encoder with the adapter."""
    adapter = Adapter(
        kind="affine", file="adapter.safetensors", sha256="a" * 64, source="1" * 64, target=NATIVE, full_dimension=384,
        dimension=8, l2_normalise=True,
    )  # fmt: skip
    update = {"name": "new-from-old", "dimension": 8, "probe": Probe.of("a text", np.ones(8, np.float32))}
    spec = lookup("minilm@1.0.0").model_copy(update={**update, "adapter": adapter})
    row = {"name": spec.name, "version": spec.version, "fingerprint": spec.fingerprint, "sealed": True}
    text = canonical_json(spec.model_dump(mode="json"))
    append_all(shop.warehouse, [EncoderRow(**row, spec=text, registered_at=datetime.now(UTC))])
    own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
    for number in range(EVENTS):
        shop.upload(range(number, number + 1), **own, embedding=make_row(number, {}).embedding)
    return spec.ref
