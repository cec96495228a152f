"""A real browser draws every chart, with each switch setting, without an error or a request."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rawless.report.page import render
from rawless.report.privacy import PrivacyReport
from rawless.report.privacy_findings import Finding
from rawless.report.privacy_page import SECTIONS
from rawless.report.privacy_page import render as render_privacy
from tests.report.conftest import HOSTILE, head_of, manifest_of, points_of, read_page

BROWSER = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
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
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--enable-logging=stderr",
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


def test_it_draws_without_an_error_even_with_hostile_names(tmp_path: Path) -> None:
    text = render(manifest_of(HOSTILE), points_of(HOSTILE, HOSTILE), [head_of(HOSTILE, HOSTILE, head=HOSTILE)])
    (tmp_path / "page.html").write_text(text.replace("</body>", f"{_CLICKS}</body>"))
    drawn, console = _open(tmp_path / "page.html", tmp_path / "profile")

    assert console == []
    assert "<title>owned" not in drawn
    assert len(re.findall(r'class="main-svg"', drawn)) >= len(read_page(text).figures)
    (seen,) = re.findall(r'data-seen="([^"]*)"', drawn)
    assert [each.rpartition("=")[2] for each in seen.split(",")] == ["40"] * 6


def test_a_request_would_be_reported_by_the_browser(tmp_path: Path) -> None:
    text = render(manifest_of(), points_of(), []).replace("</body>", '<img src="https://example.invalid/x.png"></body>')
    (tmp_path / "page.html").write_text(text)
    _, console = _open(tmp_path / "page.html", tmp_path / "profile")

    assert any("Content Security Policy" in line for line in console)
