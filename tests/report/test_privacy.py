"""The report on privacy says what is wrong first, how to check it, and nothing about a person or an event."""

import json
import re
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from google.cloud import bigquery

from rawless.audit.readers import Access
from rawless.audit.search import Search
from rawless.report.privacy import PrivacyReport, privacy_report
from rawless.report.privacy_page import SECTIONS, render, verdict, write
from rawless.warehouse.client import Warehouse
from tests.command_lines import problem
from tests.report import privacy_rows as rows
from tests.report.conftest import HOSTILE, read_page
from tests.report.privacy_rows import NOW, insert
from tests.warehouse_pool import WarehousePool

PERIOD = timedelta(days=90)
GATE = "leakage: {max: {words_f1: 0.5, content_words_f1: 0.5, membership_tpr: 0.05}, max_age: 90d}\n"
Made = Callable[..., PrivacyReport]


@pytest.fixture
def stream_file(tmp_path: Path) -> Path:
    """The file of a stream with a leakage gate, whose encoder is that of the rows."""
    return write_stream(tmp_path)


@pytest.fixture
def made(warehouse: Warehouse) -> Made:
    """Makes the report on a warehouse."""

    def make(*files: Path) -> PrivacyReport:
        return privacy_report(warehouse, files, PERIOD, accessed, now=NOW)

    return make


@pytest.fixture(scope="module")
def filled(warehouses: WarehousePool, tmp_path_factory: pytest.TempPathFactory) -> PrivacyReport:
    """The report on a warehouse in which nearly everything was done, and something is wrong."""
    warehouse = warehouses.take()
    rows.fill(warehouse)
    report = privacy_report(warehouse, [write_stream(tmp_path_factory.mktemp("given"))], PERIOD, accessed, now=NOW)
    warehouses.give_back(warehouse)
    return report


def write_stream(folder: Path) -> Path:
    path = folder / "a stream.yaml"
    path.write_text(f"stream: support_message\nmodality: text\nencoders: [minilm@1.0.0]\n{GATE}")
    return path


def accessed(since: datetime) -> list[Access]:
    """Return accesses of two days, of a person and of a job."""
    assert since == NOW - PERIOD

    def access(days: int, account: str, table: str, action: str) -> Access:
        return Access(rows.ago(days).date(), account, None, table, action, 2, rows.ago(days), rows.ago(days), "job-1")

    return [
        access(1, "w@p.iam.gserviceaccount.com", "events.embedding_event_v1", "change"),
        access(1, "ada@example.com", "snapshots.dataset_topics", "read"),
        access(3, "ada@example.com", "snapshots.dataset_topics", "read"),
    ]


def told(report: PrivacyReport, level: str) -> list[str]:
    return [finding.sentence for finding in report.findings if finding.level == level]


def test_what_is_wrong_comes_first(filled: PrivacyReport) -> None:
    assert told(filled, "wrong") == [
        "The canary of support_message found 2 traces of content in temporary_folder.",
        "content_words_f1 of minilm@1.0.0 for support_message may leak more than its limit allows: up to 0.638, at "
        "most 0.5.",
        "membership_tpr of minilm@1.0.0 for support_message may leak more than its limit allows: up to 0.328, at most "
        "0.05.",
        "The erasure certificate-2 of 2026-11-28 is not finished: run the same command again.",
    ]
    assert told(filled, "unchecked") == [
        "The canary of support_message could not search everything in cloud_logging.",
        "No canary was ever run for photo.",
        "The controls of the attack linkage on minilm@1.0.0 find more than a guess: linkage_changed may mean nothing.",
        "No leakage audit was ever run on resnet18-seeded@1.0.0, which photo has embeddings of.",
        "photo has embeddings, but its stream file was not given: whether it has a leakage gate is unknown.",
    ]
    assert told(filled, "exception") == [
        "The limit of words_f1 for support_message is waived for minilm@1.0.0 until 2026-12-08, which is soon "
        "(migration, PRIV-17).",
        "The erasure certificate-1 of 2026-11-24 listed 1 export to delete by hand and 1 head to retrain.",
        "1 export of snapshots in the open: files that no query, expiry or erasure of Rawless reaches.",
    ]
    page = read_page(render(filled))
    assert verdict(filled) == "4 things are wrong now. 5 claims have not been checked. 3 exceptions are open."
    assert page.text.index(verdict(filled)) < page.text.index("Wrong.") < page.text.index("Not checked.")


def test_each_section_shows_its_rows(filled: PrivacyReport) -> None:
    page = read_page(render(filled))

    assert page.table("sinks")[1:] == [
        ["temporary_folder", "traces", "", "48.2 MB", "2"],
        ["cloud_logging", "unreachable", "no_permission", "0 bytes", "0"],
        ["home_folder", "clean", "", "48.2 MB", "0"],
        ["warehouse", "clean", "", "48.2 MB", "0"],
    ]
    assert [line[2:] for line in page.table("leakage") if line[1] == "words_f1"] == [
        ["", "0.657 (0.637 to 0.675)", "0.253", "0.248", "0.251", "0.500", "300 from 3,000", "2026-11-19"]
    ]
    assert [line[3] for line in page.table("leakage") if line[0] == "membership"] == [
        "0.020 (0.000 to 0.038)", "0.310 (0.290 to 0.328)"
    ]  # fmt: skip
    assert {"head pictured@1 over minilm@1.0.0", "head pictured@2 over minilm@1.0.0"} <= set(page.headings)
    assert [line[2:6] for line in page.table("gates")[1:]] == [
        ["content_words_f1", "0.500", "0.638", "above"],
        ["membership_tpr", "0.050", "0.328", "above"],
        ["words_f1", "0.500", "0.675", "above, waived until 2026-12-08"],
    ]
    assert [line[:2] for line in page.table("streams")[1:]] == [
        ["photo", "resnet18-seeded@1.0.0 abababababab"],
        ["support_message", f"minilm@1.0.0 {rows.MINILM[:12]}"],
    ]
    assert [line[3] for line in page.table("waivers")[1:]] == ["in force", "expired"]
    assert page.table("inspections")[1:] == [
        ["support_message", "wrong_label", "oncall@example.com", "2", "2026-11-27"]
    ]
    assert page.table("readers")[1:] == [
        ["ada@example.com", "person", "snapshots.dataset_topics", "read", "4", "2026-11-26", "2026-11-28"],
        ["w@p.iam.gserviceaccount.com", "service", "events.embedding_event_v1", "change", "2", *["2026-11-28"] * 2],
    ]  # fmt: skip
    kept = {line[0]: line[2:] for line in page.table("retention")[1:]}
    assert kept["embedding_event_v1"] == ["52", "2026-10-20", "for ever", "for ever"]
    assert kept["rejection_v1"] == ["0", "", "90 days", "90 days"]
    assert kept["canary_v1"] == ["5", "", "for ever", "for ever"]
    assert page.table("erasures")[1:] == [
        ["certificate-2", "2026-11-28", "not finished", "1", "2026-12-12", "0", "0"],
        ["certificate-1", "2026-11-24", "2026-11-24", "15", "2026-12-08", "1", "1"],
    ]
    assert page.table("exports")[1:] == [["a" * 24, "", "gs://exports/pictured", "2026-11-09"]]


def test_every_claim_has_a_command_that_exists_in_the_shell_s_spelling(filled: PrivacyReport) -> None:
    page = render(filled)

    assert set(filled.commands) == set(SECTIONS)
    assert filled.commands["leakage"][1:] == [f"rawless audit membership pictured@{version}" for version in (1, 2)]
    assert f"rawless audit canary --stream '{filled.given[0].file}'" in [finding.command for finding in filled.findings]
    for command in [
        *(each for some in filled.commands.values() for each in some),
        *(f.command for f in filled.findings),
    ]:
        words = shlex.split(command)
        assert words[0] == "rawless"
        assert problem(" ".join(word for word in words if " " not in word)) is None
    assert len(re.findall(r"<code tabindex=\"0\">rawless ", page)) == page.count("<button ") >= len(filled.findings)


def test_nothing_about_a_person_or_an_event_is_in_it(
    filled: PrivacyReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that it was made from have a pseudonym, attributes, ids of events, and one of an inspected event."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    search = Search([value.encode() for value in (rows.PERSON, rows.EVENT, rows.VALUE)])
    write(filled, tmp_path / "page.html")
    printed = json.dumps(asdict(filled), default=str)

    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert search.in_folder(tmp_path) | search.in_bytes(printed.encode(), "JSON") == set()
    assert not re.search(r"\be-\d+\b", (tmp_path / "page.html").read_text() + printed)


def test_an_empty_warehouse_is_said_to_be_unchecked(made: Made) -> None:
    report = made()
    page = read_page(render(report))

    assert report.findings == []
    assert verdict(report) == "Nothing was checked: there are no embeddings, and no stream file was given."
    assert page.text.count("Never run.") == 2
    for sentence in ("None was ever granted.", "None was ever asked for.", "None was recorded.", "None of these was"):
        assert sentence in page.text
    assert "rawless audit canary --stream FILE" in page.text
    assert set(page.tables) == {"retention", "datasets", "readers"}


def test_a_stream_in_order_is_said_to_be_so(warehouse: Warehouse, made: Made, stream_file: Path) -> None:
    rows.embeddings(warehouse, "support_message")
    rows.canary(warehouse, "support_message")
    metrics = {"words_f1": 0.3, "content_words_f1": 0.3, "membership_tpr": 0.02}
    insert(warehouse, "leakage_audit_v1", [rows.measure(name, value) for name, value in metrics.items()])

    report = made(stream_file)

    assert report.findings == []
    assert verdict(report) == "Nothing that was checked is wrong."
    assert 'class="verdict good"' in render(report)


def test_what_is_old_interrupted_or_without_a_gate_is_said(warehouse: Warehouse, made: Made, stream_file: Path) -> None:
    rows.embeddings(warehouse, "support_message", origin="serving", caller_key=None)
    rows.canary(warehouse, "support_message", days=91)
    insert(warehouse, "leakage_audit_v1", [rows.measure("words_f1", 0.1, stream=None)])
    person = {"person_key": rows.PERSON, "erased_before": rows.ago(3), "certificate_id": "certificate-9"}
    event = {"stream": "support_message", "event_id": rows.EVENT, "erased_at": rows.ago(2), "certificate_id": "other"}
    insert(warehouse, "tombstone_v1", [person])
    insert(warehouse, "event_tombstone_v1", [event])
    stream_file.write_text(stream_file.read_text().replace(GATE, ""))
    report = made(stream_file)

    assert told(report, "wrong") == [
        f"The erasure {each} is not finished: run the same command again."
        for each in ("other of 2026-11-27", "certificate-9 of 2026-11-26")
    ]
    assert told(report, "unchecked") == ["The last canary of support_message is from 2026-08-30."]
    assert told(report, "exception") == [
        "support_message has no leakage gate: nothing limits what its embeddings may leak.",
        "A service without access tokens logged 3 events of support_message.",
    ]


def test_a_copy_of_vectors_and_another_expiry_are_found(new_warehouse: Warehouse) -> None:
    events = new_warehouse.dataset_id("events")
    new_warehouse.client.create_table(
        bigquery.Table(f"{events}.copied", [bigquery.SchemaField("vector", "FLOAT64", "REPEATED")])
    )
    rejections = new_warehouse.client.get_table(new_warehouse.table_id("rejection_v1"))
    rejections.time_partitioning = bigquery.TimePartitioning(field="rejected_at")
    new_warehouse.client.update_table(rejections, ["time_partitioning"])

    report = privacy_report(new_warehouse, (), PERIOD, accessed, now=NOW)

    assert told(report, "wrong") == [
        "rejection_v1 keeps its rows for ever, but its schema says for 90 days.",
        f"{events}.copied has vectors, but is no table of Rawless: neither erasure nor audits know it.",
    ]
    assert read_page(render(report)).table("doors")[1:] == [["copy of vectors", f"{events}.copied", "1"]]


def test_a_section_that_may_not_be_read_is_not_said_to_be_empty(new_warehouse: Warehouse) -> None:
    rows.embeddings(new_warehouse, "support_message")
    new_warehouse.client.delete_table(new_warehouse.table_id("canary_v1"))

    report = privacy_report(new_warehouse, (), PERIOD, accessed, now=NOW)

    assert set(report.unread) == {"canary", "retention"}
    assert "No canary" not in "".join(told(report, "unchecked"))
    assert "Not read: BigQuery refused the query" in read_page(render(report)).text
    assert any(each.startswith("The section could not be read: ") for each in told(report, "unchecked"))


def test_hostile_values_are_escaped_and_nothing_is_loaded(filled: PrivacyReport) -> None:
    page = read_page(render(filled))
    canary = replace(filled.canaries[0], stream=HOSTILE)
    finding = replace(filled.findings[0], sentence=HOSTILE, command=HOSTILE)
    hostile = read_page(render(replace(filled, canaries=[canary], findings=[finding, *filled.findings[1:]])))

    assert hostile.text.count(HOSTILE) == 3
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in page.tags]
    for tag, attributes in hostile.tags:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")


def test_every_measure_is_described_to_who_cannot_see_it(filled: PrivacyReport) -> None:
    strips = [
        attributes["aria-label"] for _, attributes in read_page(render(filled)).tags if "aria-label" in attributes
    ]

    assert (
        "words_f1 0.657, 95% interval 0.637 to 0.675; random vectors 0.248; a guess without vectors 0.253; vectors of "
        "other records 0.251; limit 0.5" in strips
    )
