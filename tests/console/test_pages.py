"""What the pages say of a warehouse in which much has happened, and how a real browser shows it (N11)."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from html import unescape
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest

from rawless.console.app import PAGES, create_app
from rawless.console.source import Source
from rawless.heads import registry
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from rawless.warehouse.rows import PredictionRow
from tests.browser import opened_browser
from tests.command_lines import problem
from tests.console.conftest import Console, running
from tests.console.filled import Filled, ago
from tests.report.conftest import HOSTILE, head_of, read_page
from tests.report.privacy_rows import insert, waiver
from tests.shop import make_row

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

WIDTHS = (390, 1280)
_FAINT_TEXTS = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const [red, green, blue] = colour.map(each => {
      const part = each / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("svg")) continue;
    const colours = [numbers(getComputedStyle(element).color).slice(0, 3), behind(element)];
    const [dark, light] = colours.map(luminance).sort((a, b) => a - b);
    if ((light + 0.05) / (dark + 0.05) < 4.5) faint.push(texts.currentNode.textContent.trim());
  }
  return faint;
}"""
"""The texts of a page whose contrast is below 4.5."""


def said_by(client: httpx.Client, path: str) -> str:
    """The text of a page, with single blanks between its words."""
    response = client.get(path)
    assert response.status_code == 200, response.text
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.text)).split())


@pytest.fixture
def client(console: Console) -> Iterator[httpx.Client]:
    with console.entered() as client:
        yield client


def test_a_stream_has_its_rates_its_rejections_its_encoders_by_role_and_its_drift(client: httpx.Client) -> None:
    said = said_by(client, "/streams")

    assert re.search(r"support_message Events 641 20 today, 0 from services Rejected deliveries 0 0.0% of all", said)
    assert "Drift 2 of 3 metrics above their thresholds" in said
    assert re.search(r"minilm@1.0.0 live 641 .* resnet18-seeded@1.0.0 shadow 0", said)
    assert "upload Events 58" in said
    assert "undecodable_image 17 50.0% too_many_pixels 9 26.5% payload_too_large 8 23.5%" in said
    assert "mean_shift 0.310 0.250 24 above the threshold" in said


def test_the_days_that_are_shown_can_be_chosen(client: httpx.Client) -> None:
    week = said_by(client, "/streams?days=7")

    assert "upload Events 12" in week
    for days in ("0", "31", "-7", "x", "7.0", "99999999999999999999"):
        refused = client.get("/streams", params={"days": days})
        assert (refused.status_code, refused.text) == (400, "days must be one of 7, 30, 90, 365.\n")


def test_an_encoder_has_what_hangs_on_it(client: httpx.Client) -> None:
    said = said_by(client, "/encoders")

    assert "minilm@1.0.0 text" in said
    assert re.search(
        r"Streams upload no role recorded, 58 events Datasets uploads 2 snapshots Heads pets versions 3, 2, 1", said
    )


def test_a_dataset_has_its_ledger_and_its_lineage(client: httpx.Client, filled: Filled) -> None:
    said = said_by(client, "/datasets")

    assert f"Snapshot that the name means {filled.last_snapshot}" in said
    assert "Rows 114 69 train, 24 validation, 21 test" in said
    assert "encoder tiny@1.0.0 stream upload table account_closed 2 rows table confirmed 120 rows" in said
    assert f"head pets versions 3, 2, 1, of {filled.first_snapshot[:12]}" in said
    assert "exclude_closed_accounts closed: account_closed 120 6 5.0%" in said


def test_online_accuracy_is_that_of_first_predictions_of_events_with_labels_that_were_not_learned(
    client: httpx.Client,
) -> None:
    """Of 40 predictions of version 3, one of each event, 2 events are of closed accounts, and 3 of 38 abstain.

    Of the rest those with a number that 7 divides are wrong: 0, 7, 14, 21, 28, 35.
    """
    said = said_by(client, "/heads")

    assert "0.829 0.673 to 0.919, of 35 events with a label; it abstained for 3 more" in said
    assert "0.743 0.579 to 0.858, of 35 events" in said
    assert "3 out_of_domain of 40 predictions" in said
    assert "cat 17 14, 82.4% dog, 3 times 2 dog 18 15, 83.3% cat, 3 times 1" in said
    assert "3 live, answers in shop_service" in said
    assert "2 shadow in shop_service" in said
    assert re.search(r"cat 75.7% 52.9%", said)


def test_a_prediction_of_an_event_that_was_learned_does_not_count(
    filled: Filled, opened: Callable[[Warehouse], Source]
) -> None:
    source = replace(opened(filled.warehouse), head_folder=filled.head_folder)
    learned = f"SELECT event_id FROM `local-dev.{filled.warehouse.config.snapshots}.snapshot_{filled.first_snapshot}` "
    rows = filled.warehouse.query(learned + "WHERE split = 'train' ORDER BY event_id")
    made = [
        PredictionRow(
            stream="upload", event_id=row["event_id"], subject_key=None, subject_key_id=None, caller_key=None,
            head="pets", version=1, probabilities=(("cat", 1.0),), abstention=None, predicted_at=ago(1),
        )
        for row in rows
    ]  # fmt: skip
    append_all(filled.warehouse, made)
    with running(source) as console, console.entered() as client:
        said = said_by(client, "/heads?days=7")
    filled.warehouse.query(f"DELETE FROM `{filled.warehouse.table_id('prediction_v1')}` WHERE version = 1")

    assert len(made) > 20
    assert "pets@1 in service Online accuracy unknown: no predicted event that it has not learned has a label" in said


def test_only_the_most_frequent_classes_have_a_colour_of_their_own(
    warehouse: Warehouse, opened: Callable[[Warehouse], Source]
) -> None:
    manifest, _ = head_of(head="intent", snapshot_id=None)
    registry.register(warehouse, manifest)
    made = [
        PredictionRow(
            stream="upload", event_id=f"{number}-{copy}", subject_key=None, subject_key_id=None, caller_key=None,
            head="intent", version=1, probabilities=((f"intent-{number}", 0.9),), abstention=None, predicted_at=ago(1),
        )
        for number in range(1, 9)
        for copy in range(number)
    ]  # fmt: skip
    append_all(warehouse, made)
    with running(opened(warehouse)) as console, console.entered() as client:
        said = said_by(client, "/heads")

    assert "intent-4 intent-5 intent-6 intent-7 intent-8 3 other classes As a table" in said
    assert "unknown: it was not trained on a snapshot, so no dataset has its labels" in said
    assert re.search(r"intent-8 22.2% unknown .* intent-1 2.8% unknown", said)


def test_an_audit_that_is_wrong_or_overdue_comes_first(client: httpx.Client) -> None:
    said = said_by(client, "/audits")

    assert said.index("found 2 traces of content in local_log") < said.index("No canary was ever run for upload")
    assert "The last audit of minilm@1.0.0 is from 2025-10-04." in said
    assert "waived for minilm@1.0.0 until 2026-02-10, which is soon (migration, PRIV-17)" in said
    assert re.search(r"pets@3 any membership membership_tpr 0.080 0.060 to 0.098", said)


def test_the_overview_counts_everything_and_names_what_is_wrong(client: httpx.Client) -> None:
    said = said_by(client, "/")

    assert "2 Streams 699 events, 34 rejections 3 Encoders 3 in use 1 Datasets 2 snapshots" in said
    assert "Wrong. support_message has drifted in the window that ended on 2026-02-01" in said
    assert "37% of the deliveries of upload were rejected." in said


def test_no_page_has_a_vector_an_id_of_an_event_a_pseudonym_or_an_attribute(client: httpx.Client) -> None:
    for path in PAGES:
        text = client.get(path).text
        assert not re.search(r"\be-\d+\b|person-\d|channel|-?\d\.\d{6,}", text), path


def test_every_command_that_a_page_names_exists(client: httpx.Client) -> None:
    commands = {
        line for path in PAGES for line in re.findall(r"<code tabindex=\"0\">([^<]+)</code>", client.get(path).text)
    }

    assert len(commands) > 10
    assert [(line, found) for line in commands if (found := problem(line))] == []


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/streams/", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/pages/base.html.j2", "/console.css/.."],
)
def test_there_is_nothing_but_the_pages(client: httpx.Client, path: str) -> None:
    refused = client.get(path, follow_redirects=False)

    assert refused.status_code in (404, 200)
    assert "root:" not in refused.text
    assert "{%" not in refused.text
    if refused.status_code == 200:
        assert refused.request.url.path in ("/", "/console.css")  # as the client itself shortened it


def test_a_page_is_read_again_after_a_minute_and_not_before(
    warehouse: Warehouse, opened: Callable[[Warehouse], Source]
) -> None:
    from rawless.console.reads import FRESH_SECONDS, Reads

    now = [0.0]
    source = replace(opened(warehouse), reads=Reads(warehouse, lambda: now[0]))
    with running(source) as console, console.entered() as client:
        before = said_by(client, "/streams")
        append_all(warehouse, [make_row(0, {"stream": "late", "occurred_at": ago(1), "logged_at": ago(1)})])
        now[0] = FRESH_SECONDS - 1
        soon = said_by(client, "/streams")
        now[0] = FRESH_SECONDS + 1
        later = said_by(client, "/streams")

    assert "late" not in before
    assert "late" not in soon
    assert "late Events 1" in later


def test_an_empty_warehouse_says_what_to_do_next(warehouse: Warehouse, opened: Callable[[Warehouse], Source]) -> None:
    with running(opened(warehouse)) as console, console.entered() as client:
        assert "The warehouse is empty." in said_by(client, "/")
        assert "rawless ingest" in said_by(client, "/streams")
        assert "rawless dataset build" in said_by(client, "/datasets")
        assert "rawless head train" in said_by(client, "/heads")
        assert "rawless audit canary" in said_by(client, "/audits")


def test_a_table_that_is_missing_breaks_no_other_part(
    new_warehouse: Warehouse, opened: Callable[[Warehouse], Source]
) -> None:
    manifest, _ = head_of(head="pets", snapshot_id=None)
    registry.register(new_warehouse, manifest)
    append_all(new_warehouse, [make_row(0, {"occurred_at": ago(1), "logged_at": ago(1)})])
    new_warehouse.client.delete_table(new_warehouse.table_id("prediction_v1"))
    new_warehouse.client.delete_table(new_warehouse.table_id("canary_v1"))
    with running(opened(new_warehouse)) as console, console.entered() as client:
        heads, overview, audits = (said_by(client, path) for path in ("/heads", "/", "/audits"))

    assert re.search(r"Not read: BigQuery refused the query: .*prediction_v1", heads)
    assert "pets" in heads.partition("registered")[2]
    assert "1 Streams 1 event" in overview
    assert "Traceback" not in heads + overview + audits
    assert re.search(r"Not read: BigQuery refused the query: .*canary_v1", audits)
    assert "No canary was ever run" not in audits
    assert "Never run." not in audits
    assert "No predictions were logged" not in heads


def test_a_warehouse_that_does_not_answer_is_one_sentence_on_each_page(
    warehouse: Warehouse, opened: Callable[[Warehouse], Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawless.console.reads.RETRY_SECONDS", 0.1)
    gone = Warehouse(warehouse.config, Emulator("http://127.0.0.1:9", "127.0.0.1:9", "token"))
    with running(opened(gone)) as console, console.entered() as client:
        texts = {path: said_by(client, path) for path in PAGES}

    assert [path for path, text in texts.items() if text.count("BigQuery does not answer: reload") < 1] == []
    assert texts["/"].count("Not read: BigQuery does not answer") == 1
    assert "? Streams not read" in texts["/"]
    assert "Unknown, since something could not be read." in texts["/"]


def test_an_error_that_nothing_expected_is_neither_shown_nor_raised_to_the_server_which_would_log_it(
    warehouse: Warehouse, opened: Callable[[Warehouse], Source]
) -> None:
    def broken_clock() -> datetime:
        raise ValueError("a row of Rosalind Quibble")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(opened(warehouse), broken_clock))
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
            return await client.get("/streams")

    answer = asyncio.run(ask())

    assert (answer.status_code, answer.text) == (500, "The page could not be made (ValueError); please report it.\n")


def test_a_hostile_name_is_shown_as_it_is_written(warehouse: Warehouse, opened: Callable[[Warehouse], Source]) -> None:
    write_hostile(warehouse)
    with running(opened(warehouse)) as console, console.entered() as client:
        texts = {path: client.get(path).text for path in PAGES}

    for path, text in texts.items():
        assert not {tag for tag, _ in read_page(text).tags} & {"img", "script"}, path
        assert not any(name.startswith("on") for _, attributes in read_page(text).tags for name in attributes)
    assert all(HOSTILE in read_page(texts[path]).text for path in ("/streams", "/heads", "/audits"))


def write_hostile(warehouse: Warehouse) -> None:
    """Write names that no file of ours may have, as a person with the right to write rows could."""
    append_all(warehouse, [make_row(0, {"stream": HOSTILE, "encoder": HOSTILE, "occurred_at": ago(1)})])
    manifest, _ = head_of(head=HOSTILE, snapshot_id="../../../etc")
    registry.register(warehouse, manifest.model_copy(update={"kind": HOSTILE}))
    prediction = PredictionRow(
        stream=HOSTILE, event_id="e", subject_key=None, subject_key_id=None, caller_key=None, head=HOSTILE, version=1,
        probabilities=((HOSTILE, 0.9), ("other", 0.1)), abstention=None, predicted_at=ago(1),
    )  # fmt: skip
    append_all(warehouse, [prediction])
    insert(warehouse, "waiver_v1", [waiver(9, ticket=HOSTILE, stream=HOSTILE, metric=HOSTILE, expires_at=ago(-9))])
    insert(
        warehouse,
        "drift_v1",
        [
            {
                "stream": HOSTILE, "encoder_fingerprint": HOSTILE, "metric": HOSTILE, "reference_start_at": ago(40),
                "reference_end_at": ago(12), "start_at": ago(2), "end_at": ago(1), "row_count": 24, "value": 1.0,
                "threshold": 0.5, "measured_at": ago(1),
            }
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator["BrowserContext"]:
    """A context of a real browser, which knows no cookie."""
    with opened_browser() as opened:
        yield opened.new_context()


def test_a_browser_shows_each_page_at_each_width_without_an_error_or_another_host(
    console: Console, browser: "BrowserContext"
) -> None:
    page, errors, hosts = browser.new_page(), list[str](), set[str]()
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: hosts.add(httpx.URL(request.url).netloc.decode()))
    page.goto(console.links[-1])
    assert page.url == f"{console.url}/"

    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844})
        for path, title in PAGES.items():
            response = page.goto(console.url + path)
            assert response
            assert response.status == 200
            assert page.title() == f"{title} · local-dev"
            assert page.get_by_role("heading", level=1).inner_text() == title
            assert page.get_by_role("main").count() == page.get_by_role("navigation", name="Pages").count() == 1
            wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            assert not wide, f"{path} at {width} pixels scrolls sideways"
            unnamed = page.evaluate(
                "[...document.querySelectorAll('svg, [tabindex=\"0\"]')].filter("
                "each => !each.getAttribute('aria-label') && each.tagName !== 'CODE').length"
            )
            assert unnamed == 0
    assert errors == []
    assert hosts == {httpx.URL(console.url).netloc.decode()}
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_each_page(console: Console, browser: "BrowserContext", scheme: str) -> None:
    """Contrast as WCAG 2.2 AA asks for, headings in order, ids that are unique, and a way past the navigation."""
    page = browser.new_page()
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(console.links[-1])
    for path in PAGES:
        page.goto(console.url + path)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate(_FAINT_TEXTS) == [], path
        levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(each => +each.tagName[1])")
        assert all(after <= before + 1 for before, after in pairwise(levels)), path
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
        assert len(ids) == len(set(ids)), path
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
    page.close()


def test_a_page_of_another_origin_reads_nothing_from_the_console(console: Console, browser: "BrowserContext") -> None:
    page = browser.new_page()
    page.goto(console.links[-1])
    page.goto("data:text/html,<title>other</title>")
    read_by_script = page.evaluate(
        "url => fetch(url, {credentials: 'include', mode: 'no-cors'}).then(r => r.type + r.status, () => 'refused')",
        f"{console.url}/streams",
    )
    framed = page.evaluate(
        "url => new Promise(done => { const frame = document.createElement('iframe'); frame.src = url;"
        "frame.onload = () => done(frame.contentDocument ? 'read' : 'closed'); document.body.append(frame); })",
        f"{console.url}/streams",
    )

    assert read_by_script in ("refused", "opaque0")
    assert framed == "closed"
    page.close()


def test_a_hostile_name_runs_nothing_in_a_browser(
    warehouse: Warehouse, opened: Callable[[Warehouse], Source], browser: "BrowserContext"
) -> None:
    write_hostile(warehouse)
    with running(opened(warehouse)) as console:
        page = browser.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text))
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(console.links[-1])
        for path, title in PAGES.items():
            page.goto(console.url + path)
            assert page.title() == f"{title} · local-dev"
            assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        page.close()

    assert errors == []
