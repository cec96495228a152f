"""The report on an encoder names what depends on each version, compares versions, and shows nothing of an event."""

from pathlib import Path

import numpy as np
import pytest

from encoders.catalogue import lookup
from rawless.report.encoder_page import encoder_report, render
from rawless.warehouse.encoder_registry import register
from tests.report.conftest import read_page
from tests.shop import EVENTS, Shop, make_row

FIRST = lookup("minilm@1.0.0").model_copy(update={"name": "tiny"})
SECOND = FIRST.model_copy(update={"version": "1.1.0", "pooling": "cls"})


@pytest.fixture
def migrating(shop: Shop) -> Shop:
    """A shop whose uploads have vectors of two versions, the second of which is the first, rotated."""
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((384, 384)))[0].astype(np.float32)
    for spec in (FIRST, SECOND):
        register(shop.warehouse, spec)
        own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
        for number in range(EVENTS):
            vector = np.random.default_rng(number).standard_normal(384, np.float32)
            shop.upload(range(number, number + 1), **own, embedding=vector @ turn if spec is SECOND else vector)
    return shop


def test_the_page_says_what_changed_and_shows_no_event(migrating: Shop, tmp_path: Path) -> None:
    steps: list[str] = []

    report = encoder_report(migrating.warehouse, "tiny", tmp_path, report_progress=steps.append)
    source = render(report)
    page = read_page(source)

    (compared,) = report.compared
    assert compared.found is not None
    assert compared.found.space.is_rotation
    assert "rotated: harmless to neighbours, fatal to old heads" in page.text
    assert "minor: pooling" in page.text
    assert f"tiny@1.0.0upload{EVENTS}" in page.text.replace(" ", "").replace("\n", "")
    assert "Nothing was measured" in page.text
    assert steps == ["reading", "comparing tiny@1.0.0 and tiny@1.1.0"]
    for row in (make_row(number, {}) for number in range(EVENTS)):
        assert f'"{row.event_id}"' not in source
        assert f"{row.subject_key}<" not in source


def test_without_rows_nothing_is_compared(migrating: Shop, tmp_path: Path) -> None:
    report = encoder_report(migrating.warehouse, "tiny", tmp_path, row_limit=0)

    assert report.compared == ()
    assert len(report.lineage.versions) == 2
