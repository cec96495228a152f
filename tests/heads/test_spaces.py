"""A head takes the vectors of every encoder of its space, and of no other, from its training to its deployment."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.encoder import Encoded
from encoders.load import build
from encoders.spec import EncoderSpec, Vector
from rawless.datasets.compile import compile_dataset
from rawless.datasets.incremental import find_parent
from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads import artefact, deployment
from rawless.heads.examples import open_task
from rawless.heads.out_of_scope import check_out_of_scope
from rawless.heads.publish import publish_trained
from rawless.heads.reevaluate import reevaluate
from rawless.heads.session import open_head
from rawless.heads.spec import head_spec
from rawless.heads.training import train
from rawless.privacy import Raw
from rawless.warehouse.append import append_all
from rawless.warehouse.encoder_registry import register, space_of
from tests.drawn_heads import write_head
from tests.shop import AS_OF, EVENTS, Shop, make_row
from tests.tiny_towers import SIDE, Towers


def _encode(spec: EncoderSpec, contents: list[bytes]) -> list[Vector]:
    outcomes = build(spec, torch.device("cpu")).encode([Raw(content) for content in contents])
    return [outcome.vector for outcome in outcomes if isinstance(outcome, Encoded)]


def _images() -> list[bytes]:
    """Return reddish images of dogs and bluish ones of cats, in turn."""
    files = []
    for number in range(EVENTS):
        pixels = np.random.default_rng(number).integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[..., 2 if number % 2 else 0] += 160
        Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
        files.append(file.getvalue())
    return files


def _texts() -> list[bytes]:
    return [f"{'cat' if number % 2 else 'dog'} {number}".encode() for number in range(EVENTS)]


def _build(shop: Shop, spec: EncoderSpec) -> Manifest:
    """Build a snapshot of the uploads as an encoder embeds them, which is registered first, as ingest does it."""
    register(shop.warehouse, spec)
    row = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
    vectors = _encode(spec, _images() if spec.modality == "image" else _texts())
    rows = [make_row(number, {**row, "embedding": vector}) for number, vector in enumerate(vectors)]
    append_all(shop.warehouse, rows)
    return shop.build(encoder=spec.ref, rules=None).manifest


def test_a_head_trained_on_images_takes_the_vectors_of_texts_of_its_space(
    shop: Shop, towers: Towers, tmp_path: Path
) -> None:
    images, texts = _build(shop, towers.image), _build(shop, towers.text)
    spec = head_spec({"head": "animal", "snapshot": images.snapshot_id, "kind": "linear", "epochs": 2})
    task = open_task(shop.warehouse, spec, images)
    _, folder = publish_trained(shop.warehouse, train(task, lambda _: None), tmp_path)
    head = open_head(folder)
    other = replace(texts, fingerprint=towers.foreign.fingerprint, spec={**texts.spec, "encoder_space": None})
    later = compile_dataset(
        shop.warehouse,
        shop.dataset(encoder=towers.text.ref, rules=None, as_of=(AS_OF + timedelta(days=1)).isoformat()),
    )

    assert (texts.fingerprint, texts.space) == (towers.text.fingerprint, towers.image.space)
    assert (head.manifest.fingerprint, head.manifest.space) == (towers.image.fingerprint, towers.image.space)
    assert reevaluate(shop.warehouse, head, texts).rows >= 10
    check_out_of_scope(task, texts)
    assert find_parent(later, [texts], texts.fingerprint) == texts
    with pytest.raises(
        UserError, match=r"takes vectors of tiny-clip-image@1.0.0 with the fingerprint .*: train a head"
    ):
        reevaluate(shop.warehouse, head, other)
    with pytest.raises(UserError, match="since its rows are pairs or of another encoder"):
        check_out_of_scope(task, other)


def test_a_head_is_replaced_by_one_of_its_space_only(tmp_path: Path, towers: Towers) -> None:
    for version, spec in enumerate(towers, 1):
        write_head(tmp_path, "animal", version, spec=spec)
    first = open_head(tmp_path / "animal" / "1")

    deployment.deploy(tmp_path, "animal", 1)
    assert deployment.deploy(tmp_path, "animal", 2).fingerprint == towers.text.fingerprint
    deployment.deploy(tmp_path, "animal", 3)
    assert deployment.live_by_space(tmp_path, "animal") == {towers.text.space: 2, towers.foreign.space: 3}
    first.check(towers.text.fingerprint, towers.text.space)
    with pytest.raises(UserError, match=r"The head animal takes vectors of tiny-clip-image@1.0.0 with the fingerprint"):
        first.check(towers.foreign.fingerprint, towers.foreign.space)


def test_only_a_registered_encoder_has_a_space_that_others_share(shop: Shop, towers: Towers) -> None:
    """A row that claims the fingerprint of another encoder does not give it its space."""
    register(shop.warehouse, towers.text)
    table, claimed = shop.warehouse.table_id("encoder_v1"), "e" * 64
    shop.warehouse.query(
        f"INSERT INTO `{table}` (name, version, fingerprint, spec, sealed, registered_at) "
        f"SELECT 'claimed', version, '{claimed}', spec, sealed, registered_at FROM `{table}`"
    )

    spaces = [space_of(shop.warehouse, each) for each in (towers.text.fingerprint, towers.image.fingerprint, claimed)]

    assert spaces == [towers.image.space, towers.image.fingerprint, claimed]


def test_a_head_whose_encoder_shares_no_space_has_the_manifest_that_it_always_had(
    tmp_path: Path, tiny_sealed: EncoderSpec, towers: Towers
) -> None:
    write_head(tmp_path, "alone", spec=tiny_sealed)
    write_head(tmp_path, "shared", spec=towers.image)
    alone, shared = (json.loads((tmp_path / name / "1" / "manifest.json").read_text()) for name in ("alone", "shared"))

    assert "encoder_space" not in alone
    assert shared["encoder_space"] == towers.text.space
    assert artefact.read(tmp_path / "alone" / "1").manifest.space == tiny_sealed.fingerprint
