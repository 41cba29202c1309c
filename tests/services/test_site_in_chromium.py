"""The documentation site in a real browser; `make docs` builds it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest
from sphinx.util.inventory import InventoryFile

from tests.docs.pages import ROOT
from tests.services.chromium import Visit
from tests.test_package import PUBLIC

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.services

SITE = ROOT / "docs/_build/html"

#: natural width of each image of the text, 0 if it is broken
WIDTHS = "() => [...document.querySelectorAll('article img')].map(image => image.naturalWidth)"


def visit(browser: Browser, page: str, width: int = 1200) -> Visit:
    path = SITE / page.partition("?")[0]
    assert path.exists(), f"{path} is missing: `make docs` builds it"
    context = browser.new_context(viewport={"width": width, "height": 800})
    return Visit(context, SITE / page)


@pytest.mark.parametrize(
    ("term", "page"), [("n-step", "replay_buffer"), ("replay buffer", "replay_buffer")]
)
def test_search_finds(browser: Browser, term: str, page: str) -> None:
    opened = visit(browser, "index.html")
    opened.page.locator("input[name=q]").first.fill(term)
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("ul.search li a")
    opened.page.wait_for_function(
        "document.querySelector('.search-summary').innerText.includes('found')"
    )
    found = opened.page.eval_on_selector_all("ul.search li a", "links => links.map(a => a.href)")
    assert any(f"guide/{page}.html" in link for link in found)
    assert opened.messages == []


def test_a_lesson_shows_its_images(browser: Browser) -> None:
    opened = visit(browser, "course/lesson1_taxi.html")
    widths = opened.page.evaluate(WIDTHS)
    assert len(widths) >= 2
    assert min(widths) > 100
    assert opened.messages == []


@pytest.mark.parametrize(
    "page",
    [
        "index.html",
        "guide/replay_buffer.html",
        "course/lesson1_taxi.html",
        "reference/api_envs.html",
    ],
)
def test_readable_at_phone_width(browser: Browser, page: str) -> None:
    """The page does not scroll sideways, and its text is not tiny."""
    opened = visit(browser, page, width=390)
    root = "document.scrollingElement"
    assert opened.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    size = opened.page.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('article p')).fontSize)"
    )
    assert size >= 14  # CSS pixels
    assert opened.messages == []


def test_nothing_is_loaded_from_elsewhere(browser: Browser) -> None:
    opened = visit(browser, "index.html")
    assert all(url.startswith(("file:", "data:")) for url in opened.requests)


def test_every_public_name_has_a_page() -> None:
    text = (SITE / "objects.inv").read_bytes()
    inventory = InventoryFile.loads(text, uri="")
    documented = {name for kind in inventory.data for name in inventory.data[kind]}
    for module in PUBLIC[1:]:
        public = importlib.import_module(f"sb3_atari_course{module}")
        for name in public.__all__:
            assert f"{public.__name__}.{name}" in documented, name
    top = importlib.import_module("sb3_atari_course")
    for name in top.__all__:
        home = getattr(top, name).__module__
        assert any(known.endswith(f".{name}") for known in documented), (home, name)
