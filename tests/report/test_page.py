"""A report shows the manifest and evaluation, loads nothing, and is safe whatever names users chose."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rawless.datasets.dropped_duplicates import DroppedPair
from rawless.datasets.snapshots import Count
from rawless.errors import UserError
from rawless.report.clusters import Cluster, Clusters
from rawless.report.page import render, write
from tests.report.conftest import HOSTILE, Page, comparison_of, head_of, manifest_of, points_of, read_page
from tests.shop import Shop

Layers = Callable[[Page, str], dict[str, list[int]]]


@pytest.fixture(scope="module")
def text() -> str:
    return render(manifest_of(), points_of(), [head_of()])


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return read_page(text)


def test_the_numbers_are_those_of_the_manifest(page: Page) -> None:
    waterfall = page.figures["ledger"]["data"][0]
    bars = {each["name"]: each["x"] for each in page.figures["counts"]["data"]}

    assert waterfall["x"] == [50, -10, 40]
    assert bars == {"train": [10, 10], "validation": [0, 0], "test": [12, 8]}
    assert page.table("count-table")[1:] == [["cat", "10", "0", "12", "22"], ["dog", "10", "0", "8", "18"]]
    assert page.table("ledger")[1:] == [["rule", "days cat", "50", "10"]]
    for words in ("uploads", "a" * 24, "2026-01-01 00:00 UTC", "tiny@1.0.0", "40", "20 train, 0 validation, 20 test"):
        assert words in page.text
    assert page.text.count("Embeddings are confidential: store this report only where the snapshot may be stored.") == 1


def test_rules_that_removed_nothing_are_listed_and_not_drawn(page: Page) -> None:
    idle = manifest_of().ledger[0]._replace(rule="idle", removed=0)
    found = read_page(render(manifest_of(ledger=(idle, *manifest_of().ledger)), points_of(), []))

    assert "Rules that removed nothing: idle." in found.text
    assert len(found.figures["ledger"]["data"][0]["x"]) == len(page.figures["ledger"]["data"][0]["x"])


def test_the_numbers_are_those_of_the_evaluation(page: Page) -> None:
    dots = {each["name"]: each for each in page.figures["head-0-measures"]["data"]}

    assert dots["pets@1"]["x"] == [0.9, None]
    assert dots["pets@1"]["error_x"]["array"][0] == pytest.approx(0.05)
    assert dots["majority"]["x"] == [0.5]
    assert page.table("matrix") == [["label", "cat", "dog"], ["cat", "11", "1"], ["dog", "1", "7"]]
    assert page.table("pairs")[1:] == [["dog", "cat", "1", "12% of 8", "1"], ["cat", "dog", "1", "8% of 12", "1"]]
    assert [row[:2] for row in page.table("classes")] == [["class", "rows"], ["dog", "8"], ["cat", "12"]]
    assert page.table("classes")[1][2].startswith("0.875")
    assert page.figures["head-0-calibration"]["data"][0]["x"] == [0.95]
    assert page.figures["head-0-curve"]["data"][0]["y"] == [0.8, 0.9]
    assert [each["y"] for each in page.figures["head-0-losses"]["data"]] == [[1.0, 0.5, 0.4], [1.1, 0.7, 0.8]]
    assert page.figures["head-0-losses"]["layout"]["shapes"][0]["x0"] == 2
    assert page.figures["head-0-slices"]["data"][0]["x"] == [0.9]
    assert page.table("measures")[1] == [
        "accuracy higher is better",
        "0.900 (0.800 to 0.950)",
        "0.500 (0.400 to 0.600)",
    ]
    assert page.table("measures")[3] == ["roc auc higher is better", "undefined", ""]
    assert page.table("mistakes")[1:] == [["e-21", "cat", "dog", "0.990"], ["e-22", "dog", "cat", "0.600"]]
    assert page.table("suspects")[1:] == [["e-3", "cat", "dog", "0.900"]]
    assert "Few rows for cat." in page.text


def test_each_class_has_its_measures_and_curves_the_worst_first(page: Page) -> None:
    roc, precision = (page.figures[f"head-0-{name}"]["data"] for name in ("roc", "precision"))

    assert page.table("classes")[1] == [
        "dog", "8", "0.875 0.53 to 0.98", "0.875 0.53 to 0.98", "0.875 0.62 to 0.97", "0.938 0.70 to 0.99",
        "0.900 0.54 to 0.99",
    ]  # fmt: skip
    assert [trace["name"] for trace in roc] == ["dog", "cat"]
    assert (roc[0]["x"], roc[0]["y"]) == ([0, 0, 0.0833, 1], [0, 0.875, 0.875, 1])
    assert (precision[0]["x"], precision[0]["y"]) == ([0.875, 0.875, 1], [1, 0.875, 0.4])
    assert "Curves have at most 100 points, and differ from the whole ones by at most 0.01." in page.text


def test_the_page_of_a_head_from_before_curves_were_stored_says_how_to_measure_them() -> None:
    page = read_page(render(manifest_of(), points_of(), [head_of(curves=())]))

    assert "head-0-roc" not in page.figures
    assert len(page.table("classes")[1]) == 5
    assert f"rawless head show pets@1 --snapshot {'a' * 24} measures them." in page.text


def test_two_heads_are_compared_by_measure_class_and_row(layers: Layers) -> None:
    page = read_page(render(manifest_of(), points_of(), [head_of()], [comparison_of()]))
    differences = page.figures["compared-0-classes"]["data"][0]

    assert "pets@2 is better than pets@1: its accuracy is 0.950 instead of 0.900 on 20 test rows" in page.text
    assert page.table("compared")[1] == ["accuracy higher is better", "0.900", "0.950", "+0.050 (+0.010 to +0.090)"]
    assert page.table("changed")[1:] == [
        ["e-21", "fixed", "cat", "dog", "cat"], ["e-22", "fixed", "dog", "cat", "dog"],
        ["e-23", "broken", "cat", "cat", "dog"],
    ]  # fmt: skip
    assert differences["x"] == [-0.01, 0.05]
    assert layers(page, "pets@1 to pets@2") == {
        "not in test (20)": list(range(20)),
        "the same answer (17)": [20, *range(24, 40)],
        "fixed (2)": [21, 22],
        "broken (1)": [23],
    }


def test_the_map_is_coloured_by_cluster_and_attribute_of_which_rare_values_share_a_colour(layers: Layers) -> None:
    points = points_of()
    channels = ["chat" if n % 4 else None for n in range(40)]
    found = Clusters(["cluster 1"] * 30 + ["cluster 2"] * 10, [
        Cluster("cluster 1", 30, "cat 60%, dog 40%", ["e-3", "e-4"]), Cluster("cluster 2", 10, "dog 100%", ["e-33"]),
    ], 0.25)  # fmt: skip
    more = {"attributes": {"channel": channels, "version": [str(n) for n in range(40)]}, "clusters": found}
    page = read_page(render(manifest_of(), type(points)(**(vars(points) | more)), []))

    assert {name: len(rows) for name, rows in layers(page, "cluster").items()} == {
        "cluster 1 (30)": 30,
        "cluster 2 (10)": 10,
    }
    assert set(layers(page, "attribute channel")) == {"chat (30)", "not given (10)"}
    assert "others (26)" in layers(page, "attribute version")
    assert page.table("clusters")[1:] == [
        ["cluster 1", "30", "cat 60%, dog 40%", "e-3 e-4"], ["cluster 2", "10", "dog 100%", "e-33"],
    ]  # fmt: skip
    assert "<br>channel: not given<br>" in page.figures["map"]["layout"]["meta"]["hover"][0]


def test_a_matrix_puts_confused_classes_beside_each_other_and_leaves_out_those_without_errors() -> None:
    names = tuple(f"class-{n:03}" for n in range(120))
    counts = np.diag(np.full(120, 9))
    counts[3, 90] = counts[90, 3] = 4
    counts[50, 51] = 1
    page = read_page(render(manifest_of(), points_of(), [head_of(classes=names, confusion=counts.tolist(), curves=())]))
    header, *lines = page.table("matrix")

    assert abs(header.index("class-003") - header.index("class-090")) == 1
    assert len(header) == len(lines) + 1 == 101
    assert {"class-050", "class-051"} <= set(header)
    assert "20 labels with fewer errors are left out. 1,080 of 1,089 rows are predicted correctly." in page.text
    assert [row[:3] for row in page.table("pairs")[1:]] == [
        ["class-003", "class-090", "4"], ["class-090", "class-003", "4"], ["class-050", "class-051", "1"],
    ]  # fmt: skip


def test_near_duplicates_that_were_left_out_are_listed_if_they_were_searched(page: Page) -> None:
    pair = DroppedPair("e-9", "test", "cat", "e-2", "dog", 0.98765)
    listed, none = (read_page(render(manifest_of(), points_of(), [], duplicates=found)) for found in ([pair] * 30, []))

    assert listed.table("duplicates")[1] == ["e-9", "test", "cat", "e-2", "dog", "0.9877"]
    assert len(listed.table("duplicates")) == 26
    assert "25 of 30 rows of validation and test that were left out" in listed.text
    assert "0 of 0 rows of validation and test that were left out" in none.text
    assert "near duplicates that were left out" not in page.text.lower()


def test_the_domain_is_described_with_what_it_separates_if_that_is_known(page: Page) -> None:
    assert "whose distance from its training rows is above 12.35, the 0.95 quantile of validation." in page.text
    assert (
        "The share of test that is: 0.050 (0.000 to 0.150). The table compares 20 test rows with 30 rows" in page.text
    )
    assert page.table("domain")[1:] == [
        ["roc auc of distance higher is better", "0.970 (0.900 to 1.000)"],
        ["abstention on test lower is better", "0.050 (0.000 to 0.150)"],
    ]
    undeclared, without = (
        read_page(render(manifest_of(), points_of(), [head]))
        for head in (head_of(out_of_scope=None), head_of(domain=None, abstention=None, out_of_scope=None))
    )
    assert "whose distance from its training rows" in undeclared.text
    assert "domain" not in undeclared.tables
    assert "Out of domain" not in without.headings


def test_the_map_is_coloured_by_label_split_error_and_encoder(page: Page, layers: Layers) -> None:
    meta = page.figures["map"]["layout"]["meta"]

    assert set(meta["positions"]) == {"UMAP", "PCA"}
    assert [len(axis) for axis in meta["positions"]["UMAP"]] == [40, 40]
    assert {name: len(rows) for name, rows in layers(page, "label").items()} == {"cat (20)": 20, "dog (20)": 20}
    assert set(layers(page, "split")) == {"train (20)", "test (20)"}
    assert set(layers(page, "encoder")) == {"tiny@1.0.0 (40)"}
    assert layers(page, "errors of pets@1")["wrong (2)"] == [21, 22]
    assert set(layers(page, "errors of pets@1")) == {"not in test (20)", "right (18)", "wrong (2)"}
    assert meta["hover"][21] == "<b>e-21</b><br>label: cat<br>split: test<br>pets@1 predicts: dog (wrong)"
    assert meta["hover"][0] == "<b>e-0</b><br>label: dog<br>split: train"
    values = [attributes["value"] for tag, attributes in page.tags if tag == "input"]
    assert values == ["UMAP", "PCA", "label", "split", "errors of pets@1", "encoder"]


def test_a_row_is_not_called_right_when_the_list_of_mistakes_was_cut(layers: Layers) -> None:
    cut = head_of(confusion=((2, 10), (1, 7)))

    assert set(layers(read_page(render(manifest_of(), points_of(), [cut])), "errors of pets@1")) == {
        "not in test (20)", "right, or not listed (18)", "wrong (2)"
    }  # fmt: skip


def test_a_head_of_another_snapshot_does_not_colour_the_map(layers: Layers) -> None:
    found = read_page(render(manifest_of(), points_of(), [head_of(snapshot_id="b" * 24)]))

    assert layers(found, "errors of pets@1") == {}


def test_rare_labels_share_a_colour(layers: Layers) -> None:
    many = [f"label-{n}" for n in range(20)]
    points = points_of()
    labels = [many[n] if n < 20 else many[n % 14] for n in range(40)]
    page = read_page(render(manifest_of(), type(points)(**(vars(points) | {"labels": labels})), []))

    assert len(layers(page, "label")) == 15
    assert layers(page, "label")["others (6)"] == [14, 15, 16, 17, 18, 19]


def test_the_sample_size_and_erased_rows_are_stated() -> None:
    points = points_of()
    drawn = read_page(render(manifest_of(), type(points)(**(vars(points) | {"total": 41})), []))
    erased = read_page(render(manifest_of(), points_of(count=38), []))

    assert "The map shows a sample of 40 of 41 rows, by seed 0." in drawn.text
    assert "The map shows all 38 rows. 2 rows were erased after the snapshot was built." in erased.text


def test_it_loads_nothing(text: str, page: Page) -> None:
    policy = next(
        attributes["content"]
        for _, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    allowed = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:;"

    assert policy.startswith(allowed)
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    assert text.count("* plotly.js v") == 1


def test_every_chart_has_an_alternative_text(page: Page) -> None:
    charts = {attributes["id"]: attributes for _, attributes in page.tags if attributes.get("role") == "img"}

    assert set(charts) == set(page.figures)
    (matrix,) = [attributes for _, attributes in page.tags if attributes.get("role") == "region"]
    assert matrix["aria-label"] == "Matrix: 18 of 20 test rows are predicted correctly."
    assert all(len(attributes["aria-label"] or "") > 20 for attributes in charts.values())


def test_hostile_names_are_escaped() -> None:
    hostile = manifest_of(HOSTILE, rule=HOSTILE, dataset=HOSTILE)
    head = head_of(HOSTILE, HOSTILE, head=HOSTILE, baselines={HOSTILE: (head_of()[1].measures[0],)})
    found = read_page(render(hostile, points_of(HOSTILE, HOSTILE), [head]))
    accuracy = head_of()[1].measures[0]
    benign = read_page(render(manifest_of(), points_of(), [head_of(baselines={"unknown": (accuracy,)})]))

    assert [tag for tag, _ in found.tags] == [tag for tag, _ in benign.tags]
    assert found.scripts[-1] == benign.scripts[-1]
    assert found.headings[0] == HOSTILE
    found.figures["map"]["layout"]["meta"].pop("ids")  # as those of its layers, read only by the page's own script
    for layer in found.figures["map"]["data"]:
        layer.pop("meta")
    assert "<img" not in json.dumps(found.figures)  # plotly interprets HTML in its texts, so it is escaped there, too
    assert "&lt;img" in json.dumps(found.figures)
    for figure in found.figures.values():
        assert not any("<b>%{x}" in (each.get("hovertemplate") or "") for each in figure["data"])


def test_a_snapshot_without_heads_rules_or_rows() -> None:
    alone = read_page(render(manifest_of(), points_of(), []))
    bare = read_page(render(manifest_of(ledger=(), counts=()), points_of(count=0), []))

    assert set(alone.figures) == {"ledger", "counts", "map"}
    assert not any(heading.startswith("Head") for heading in alone.headings)
    assert set(bare.figures) == {"counts"}


def test_number_labels_are_coloured_by_a_scale(layers: Layers) -> None:
    spec = {"spec": {"encoder": "tiny@1.0.0", "label": {"type": "number", "range": [0, 40]}}}
    points = points_of()
    numbers = type(points)(**(vars(points) | {"labels": [float(n) for n in range(40)]}))
    r2 = head_of()[1].measures[0]._replace(name="r2")
    head = head_of(measures=(r2,), slices=(), confusion=(), classes=(), mistakes=(), calibration=(), suspects=())
    page = read_page(render(manifest_of(spec=spec, counts=(Count("train", "", 40),)), numbers, [head]))
    layer = page.figures["map"]["data"][0]

    assert layer["marker"]["color"] == [float(n) for n in range(40)]
    assert layer["marker"]["showscale"] is True
    assert page.table("count-table")[1:] == [["any number", "40", "0", "0", "40"]]
    assert "matrix" not in page.tables


def test_a_report_is_readable_by_its_owner_only_and_replaces_a_file(shop: Shop, tmp_path: Path) -> None:
    manifest = shop.build().manifest
    path = tmp_path / "pages" / "page.html"
    path.parent.mkdir()
    path.write_text("what was there")
    path.chmod(0o644)
    write(shop.warehouse, manifest, [], path)
    written = path.read_text()
    page = read_page(written)
    left, down = page.figures["map"]["layout"]["meta"]["positions"]["PCA"]

    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert len(left) == len(down) == manifest.rows == 114
    assert manifest.snapshot_id in page.text
    for row in shop.rows(manifest.snapshot_id).values():
        assert not any(f"{number:.5f}"[:7] in written.partition("plotly.js")[0] for number in row["embedding"][:2])
        assert row["person_key"] not in written


def test_a_report_that_cannot_be_written_is_a_user_error(shop: Shop, tmp_path: Path) -> None:
    manifest = shop.build().manifest
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "folder" / "page.html" / "page.html"):
        (tmp_path / "folder" / "page.html").write_text("")
        with pytest.raises(UserError, match="cannot be written"):
            write(shop.warehouse, manifest, [], path)
    assert list((tmp_path / "folder").iterdir()) == [tmp_path / "folder" / "page.html"]
    assert not list(tmp_path.glob(".*"))
