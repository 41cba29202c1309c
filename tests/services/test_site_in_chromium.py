"""The documentation site in a real browser; `make docs` builds it."""

from __future__ import annotations

import base64
import importlib
import struct
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import nbformat
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

#: number of colors in each code cell
COLORS = """() => [...document.querySelectorAll('.cell_input .highlight')].map(code => new Set(
    [code, ...code.querySelectorAll('span')].map(part => getComputedStyle(part).color)).size)"""


class Handler(SimpleHTTPRequestHandler):
    """Serves the site, without a line on stderr for each request."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, directory=str(SITE))

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Return the address of the site; search reads pages, which browsers refuse from files."""
    assert (SITE / "index.html").exists(), f"{SITE} is missing: `make docs` builds it"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def visit(browser: Browser, site: str) -> Callable[..., Visit]:
    def opened(page: str, width: int = 1200) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": 800})
        return Visit(context, f"{site}/{page}")

    return opened


@pytest.mark.parametrize(
    ("term", "page"), [("n-step", "replay_buffer"), ("replay buffer", "replay_buffer")]
)
def test_search_finds_the_page_of_a_term(visit: Callable[..., Visit], term: str, page: str) -> None:
    opened = visit("index.html")
    opened.page.locator("input[name=q]").first.fill(term)
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("ul.search li a")
    opened.page.wait_for_function(
        "document.querySelector('.search-summary').innerText.includes('found')"
    )
    found = opened.page.eval_on_selector_all("ul.search li a", "links => links.map(a => a.href)")
    assert any(f"guide/{page}.html" in link for link in found)
    assert opened.messages == []


@pytest.mark.parametrize("lesson", ["lesson1_taxi", "lesson3_screen", "lesson4_breakout"])
def test_lesson_shows_what_its_notebook_contains(visit: Callable[..., Visit], lesson: str) -> None:
    """Title, colored code, and each figure at its size; no output is an error."""
    notebook = nbformat.read(ROOT / f"examples/notebooks/{lesson}.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    figures = [
        output.data["image/png"]
        for cell in cells
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    opened = visit(f"course/{lesson}.html")
    title = opened.page.eval_on_selector("article h1", "title => title.firstChild.textContent")
    assert f"# {title}" == notebook.cells[0].source.splitlines()[0]
    assert opened.page.evaluate(WIDTHS) == [png_width(figure) for figure in figures]
    assert min(png_width(figure) for figure in figures) > 100
    n_colors = opened.page.evaluate(COLORS)
    assert len(n_colors) == len(cells)
    assert min(n_colors) > 1
    assert opened.page.locator(".cell_output .traceback").count() == 0
    assert opened.messages == []


def png_width(encoded: str) -> int:
    """Return the width of an image in a notebook, from the header of the PNG."""
    width: int = struct.unpack_from(">I", base64.b64decode(encoded), 16)[0]
    return width


@pytest.mark.parametrize(
    "page",
    [
        "index.html",
        "guide/replay_buffer.html",
        "course/lesson1_taxi.html",
        "reference/api_envs.html",
    ],
)
def test_pages_are_readable_at_phone_width(visit: Callable[..., Visit], page: str) -> None:
    """The page does not scroll sideways, and its text is not tiny."""
    opened = visit(page, width=390)
    root = "document.scrollingElement"
    assert opened.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    size = opened.page.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('article p')).fontSize)"
    )
    assert size >= 14  # CSS pixels
    assert opened.messages == []


@pytest.mark.parametrize("page", ["index.html", "course/lesson1_taxi.html"])
def test_pages_load_nothing_from_other_hosts(
    visit: Callable[..., Visit], site: str, page: str
) -> None:
    opened = visit(page)
    opened.page.wait_for_load_state("networkidle")
    assert all(url.startswith((site, "data:")) for url in opened.requests)


def test_formulas_are_typeset(visit: Callable[..., Visit]) -> None:
    opened = visit("course/lesson1_taxi.html")
    opened.page.wait_for_selector("mjx-container")
    assert opened.messages == []


def test_every_public_name_has_a_page() -> None:
    text = (SITE / "objects.inv").read_bytes()
    inventory = InventoryFile.loads(text, uri="")
    documented = {name for kind in inventory.data for name in inventory.data[kind]}
    for module in PUBLIC:
        public = importlib.import_module(f"sb3_atari_course{module}")
        for name in public.__all__:
            assert any(
                other.startswith(f"{public.__name__}.") and other.endswith(f".{name}")
                for other in documented
            ), name
