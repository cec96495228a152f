"""Draw the pictures of docs/console.md: `python -m tests.console.picture`, which needs Chromium."""

import tempfile
from pathlib import Path

from rawless.connect import throw_away_warehouse
from rawless.console.reads import Reads
from rawless.console.source import Source
from tests.browser import opened_browser
from tests.console.conftest import running
from tests.console.filled import SERVED, fill

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = {"console.png": ("/heads", 1280, 980), "console-phone.png": ("/streams", 390, 980)}
"""The page, width and height of each."""


def main() -> None:
    """Write the pictures of a made-up warehouse."""
    with throw_away_warehouse() as opened, tempfile.TemporaryDirectory() as folder, opened_browser() as browser:
        warehouse = opened()
        warehouse.ensure()
        filled = fill(warehouse, Path(folder))
        with running(Source(Reads(warehouse), "local-dev", filled.head_folder, (SERVED,))) as console:
            page = browser.new_page()
            page.goto(console.links[-1])
            for name, (path, width, height) in PICTURES.items():
                page.set_viewport_size({"width": width, "height": height})
                page.goto(console.url + path)
                page.screenshot(path=DOCS / name)


if __name__ == "__main__":
    main()
