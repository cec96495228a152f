"""A real browser draws every chart, with each switch setting, without an error or a request."""

import csv
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as PlaywrightPage

from rawless.report.page import render
from rawless.report.privacy import PrivacyReport
from rawless.report.privacy_findings import Finding
from rawless.report.privacy_page import SECTIONS
from rawless.report.privacy_page import render as render_privacy
from tests.browser import PATH, needs_browser, opened_browser
from tests.report.conftest import HOSTILE, comparison_of, head_of, manifest_of, points_of, read_page

pytestmark = needs_browser
_CLICKS = """
<script>
const seen = [];
for (const input of document.querySelectorAll(".switches input")) {
  input.click();
  const shown = document.getElementById("map").data.filter((trace) => trace.visible);
  seen.push(input.value + "=" + shown.reduce((sum, trace) => sum + trace.x.length, 0));
}
document.body.dataset.seen = seen.join(",");
</script>
"""


def _open(path: Path, folder: Path) -> tuple[str, list[str]]:
    """Return the page after its scripts ran, and the lines of its console."""
    command = [
        PATH, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--enable-logging=stderr",
        "--log-level=0", "--virtual-time-budget=10000", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


_COPIES = """
<script>
const button = document.querySelector(".command button");
const reached = [...document.querySelectorAll("button, code, a, .scroll")].every((one) => one.tabIndex === 0);
button.click();
setTimeout(() => {
  Object.assign(document.body.dataset, {reached, copied: getSelection().toString(), said: button.textContent});
}, 500);
</script>
"""


def test_a_command_of_the_report_on_privacy_is_copied_by_a_click_or_a_key(tmp_path: Path) -> None:
    finding = Finding("wrong", "canary", HOSTILE, "rawless audit canary --stream 'a stream.yaml'")
    report = PrivacyReport(datetime(2026, 1, 1, tzinfo=UTC), "local-dev", 90, [finding])
    report.commands = {section: [finding.command] for section in SECTIONS}
    (tmp_path / "page.html").write_text(render_privacy(report).replace("</body>", f"{_COPIES}</body>"))
    drawn, console = _open(tmp_path / "page.html", tmp_path / "profile")

    assert console == []
    assert "<title>owned" not in drawn
    assert 'data-reached="true"' in drawn
    assert f'data-copied="{finding.command}"' in drawn
    assert re.search('data-said="(Copied|Selected)"', drawn)


@pytest.mark.full
def test_it_draws_without_an_error_even_with_hostile_names(tmp_path: Path) -> None:
    text = render(manifest_of(HOSTILE), points_of(HOSTILE, HOSTILE), [head_of(HOSTILE, HOSTILE, head=HOSTILE)])
    (tmp_path / "page.html").write_text(text.replace("</body>", f"{_CLICKS}</body>"))
    drawn, console = _open(tmp_path / "page.html", tmp_path / "profile")

    assert console == []
    assert "<title>owned" not in drawn
    assert len(re.findall(r'class="main-svg"', drawn)) >= len(read_page(text).figures)
    (seen,) = re.findall(r'data-seen="([^"]*)"', drawn)
    assert [each.rpartition("=")[2] for each in seen.split(",")] == ["40"] * 6


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened_browser() as opened:
        yield opened


def _goto(browser: Browser, text: str, path: Path, width: int = 1280) -> PlaywrightPage:
    """Return a window in which a report was drawn."""
    path.write_text(text)
    window = browser.new_page(viewport={"width": width, "height": 900})
    window.goto(path.as_uri())
    window.wait_for_selector("#map .main-svg")
    return window


def _surround(window: PlaywrightPage) -> None:
    """Draw a lasso around all points of the map."""
    window.locator("#map").scroll_into_view_if_needed()
    area = window.locator("#map .nsewdrag").first.bounding_box()
    assert area
    left, top, right, bottom = area["x"] + 1, area["y"] + 1, area["x"] + area["width"], area["y"] + area["height"]
    window.mouse.move(left, top)
    window.mouse.down()
    for x, y in ((right - 1, top), (right - 1, bottom - 1), (left, bottom - 1), (left, top + 3)):
        window.mouse.move(x, y, steps=8)
    window.mouse.up()


@pytest.mark.full
def test_rows_in_a_lasso_can_be_copied_and_downloaded_by_their_ids(browser: Browser, tmp_path: Path) -> None:
    hostile = f'{HOSTILE},"'
    window = _goto(browser, render(manifest_of(), points_of("cat", hostile), []), tmp_path / "page.html")
    expected = [f"{hostile}-{n}" for n in range(40)]

    window.click("#lasso")
    _surround(window)
    expect(window.locator("#selected-ids")).to_have_value("\n".join(expected))
    assert window.text_content("#selected") == "40 of the 40 rows of the map are selected."
    with window.expect_download() as download:
        window.click("#save-ids")
    with Path(download.value.path()).open(newline="") as file:
        assert list(csv.reader(file)) == [["event_id"], *([name] for name in expected)]
    window.click("#copy-ids")
    expect(window.locator("#selected")).to_have_text(re.compile("The ids (were copied|are marked)"))
    assert window.evaluate("getSelection().toString()").split("\n") == expected
    window.click("#clear-ids")
    assert window.input_value("#selected-ids") == ""
    window.click("#lasso")
    _surround(window)
    assert window.input_value("#selected-ids") == "", "zooming selects nothing"
    window.close()


def test_the_curves_of_the_chosen_class_are_drawn(browser: Browser, tmp_path: Path) -> None:
    head = head_of(HOSTILE)
    window = _goto(browser, render(manifest_of(HOSTILE), points_of(HOSTILE), [head]), tmp_path / "page.html")
    lines = [window.locator(f"#head-0-{name} .scatterlayer .js-line") for name in ("roc", "precision")]

    for option, count in ({"index": 0}, 2), ({"label": HOSTILE}, 1), ({"index": 0}, 2):
        window.select_option("[data-curves]", **option)
        for each in lines:
            expect(each).to_have_count(count)
    assert window.title() != "owned"
    window.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_of_77_classes_with_long_names_scrolls_in_its_boxes_only(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    names = tuple(f"{'wrong_exchange_rate_for_cash_withdrawal_' * 3}{n}" for n in range(77))
    counts = np.random.default_rng(0).poisson(0.2, (77, 77)) + np.diag(np.full(77, 30))
    head = head_of(names[0], classes=names, confusion=counts.tolist())
    page = render(manifest_of(names[0]), points_of(names[0]), [head], [comparison_of(names[0])])
    window = _goto(browser, page, tmp_path / "page.html", width)
    box, label = window.locator(".matrix-box"), window.locator(".matrix tbody th").first
    column = window.locator(".matrix thead th").nth(70)

    assert window.evaluate("document.documentElement.scrollWidth") <= width
    box.scroll_into_view_if_needed()
    before = label.bounding_box()
    box.evaluate("(box) => { box.scrollLeft = box.scrollWidth; box.scrollTop = 200; }")
    frame, after, header = box.bounding_box(), label.bounding_box(), column.bounding_box()
    assert None not in (frame, before, after, header)
    assert before["x"] == after["x"] == frame["x"], "the label stays while its row scrolls"
    assert abs(header["y"] - frame["y"]) <= 2, "the name of a column stays while the rows scroll"
    assert frame["x"] < header["x"] < frame["x"] + frame["width"]
    assert after["width"] < frame["width"] / 2
    window.close()


def test_a_request_would_be_reported_by_the_browser(tmp_path: Path) -> None:
    text = render(manifest_of(), points_of(), []).replace("</body>", '<img src="https://example.invalid/x.png"></body>')
    (tmp_path / "page.html").write_text(text)
    _, console = _open(tmp_path / "page.html", tmp_path / "profile")

    assert any("Content Security Policy" in line for line in console)
