"""The browser in which tests look at pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATH = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
_REASON = "needs Chromium"
needs_browser = pytest.mark.skipif(PATH is None, reason=_REASON)


@contextmanager
def opened_browser() -> Iterator["Browser"]:
    """A browser, which is closed after the block. A test that has none is skipped."""
    if PATH is None:
        pytest.skip(_REASON)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=PATH, args=["--no-sandbox"])
        yield browser
        browser.close()
