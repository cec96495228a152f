"""Both maps of a comparison: comparable, with lines between neighbours that moved, and without any id."""

import numpy as np

from encoders.catalogue import lookup
from rawless.lifecycle.encoder_comparison import EncoderComparison
from rawless.lifecycle.paired_vectors import PairedVectors
from rawless.lifecycle.space_measures import measure
from rawless.report.encoder_map import maps, render, svg
from tests.report.conftest import HOSTILE, read_page


def test_both_maps_are_turned_towards_each_other_and_name_no_event() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((60, 8)) * np.array([9, 4, 1, 1, 1, 1, 1, 1])).astype(np.float32)
    y = 3 * x @ np.linalg.qr(rng.standard_normal((8, 8)))[0].astype(np.float32)
    y[0] = -y[0]  # one event moves away from its neighbours
    vectors = PairedVectors("upload", tuple(f"event-{n}" for n in range(60)), ("person-1",) * 60, x, y)
    first = lookup("minilm@1.0.0")
    second = first.model_copy(update={"name": HOSTILE, "version": "2.0.0"})
    found = EncoderComparison(first, second, "upload", measure(vectors, 5), (), 0.01)

    drawn = maps(found, vectors)
    page, image = render(found, drawn), svg(found, drawn[0])

    assert [each.projection for each in drawn] == ["UMAP", "PCA"]
    distances = np.linalg.norm(drawn[1].first - drawn[1].second, axis=1)
    assert np.median(distances) < 0.2
    assert distances.argmax() == 0
    assert 0 in drawn[1].lines[0]
    assert image.count("<line") == 2 * len(drawn[0].lines)
    assert image.count("<circle") == 120
    for text in (page, image):
        assert HOSTILE not in text
        assert "event-1" not in text
        assert "person-1" not in text
    figures = read_page(page).figures
    assert {*figures} == {"maps-umap", "maps-pca"}
    assert len(figures["maps-pca"]["data"][0]["x"]) == 60
