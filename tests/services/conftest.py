"""Chromium for the tests that open pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.services.chromium import FLAGS, NAMES

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.fail(
            f"no browser found ({', '.join(NAMES)}): install Chromium with the system's package"
            " manager, or name its program in the environment variable CHROMIUM"
        )
    from playwright.sync_api import sync_playwright  # of the extra services

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()
