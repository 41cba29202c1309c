"""HTML report of a real training in a browser: curves, video, no script, no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.chromium import Visit
from tests.zoo.runs import TOY, TOY_PARAMS, python_m

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.services

RUN = ("--algo", "dqn", "--env", "CartPole-v1", "-f")
#: width and height on the page of each figure, and of the image in it (0 if it is broken)
SIZES = """() => [...document.querySelectorAll('figure img')].map(image => {
  const box = image.getBoundingClientRect();
  return [box.width, box.height, image.naturalWidth];
})"""

#: plays a muted video; returns its position, size and error
PLAY = """async video => {
  video.muted = true;
  await video.play();
  for (let i = 0; i < 300 && video.currentTime < 0.3; i++)
    await new Promise(resolve => setTimeout(resolve, 100));
  return [video.currentTime, video.videoWidth, video.videoHeight, video.error];
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of two runs of CartPole, one with video and evaluation."""
    folder = tmp_path_factory.mktemp("chromium")
    logs = str(folder / "logs")
    for seed in ("1", "2"):
        flags = (*RUN, logs, "--seed", seed, "--log-interval", "1", *TOY)
        python_m("sb3_atari_course", "train", *flags, "-params", *TOY_PARAMS)
    number = ("--exp-id", "1")
    python_m("sb3_atari_course", "record", *RUN, logs, *number, "-n", "60")
    python_m("sb3_atari_course", "evaluate", *RUN, logs, *number, "-n", "2")
    runs = [str(folder / f"logs/dqn/CartPole-v1_{n}") for n in (1, 2)]
    python_m("sb3_atari_course", "plot", *runs, "-o", str(folder / "out"))
    return folder / "out/report.html"


def assert_curves_are_drawn(visit: Visit) -> None:
    """Check comparison and both runs: each image is loaded, and nearly as wide as the page."""
    sizes = visit.page.evaluate(SIZES)
    assert len(sizes) == 3
    assert all(width > 300 and height > 100 and natural > 0 for width, height, natural in sizes)


def text_of(visit: Visit) -> str:
    return visit.page.locator("body").inner_text()


def test_shows_curves_and_video_without_network_requests(browser: Browser, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1000, "height": 1400})
    visit = Visit(context, report.as_uri())
    assert_curves_are_drawn(visit)
    (video,) = visit.page.locator("video").element_handles()
    seconds, width, height, error = video.evaluate(PLAY)
    assert (width, height, error) == (600, 400, None)
    assert seconds > 0.2
    own: list[Any] = [url for url in visit.requests if not url.startswith("data:")]
    assert own == [report.as_uri()]
    assert visit.messages == []
    context.close()


def test_needs_no_javascript(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    visit = Visit(context, report.as_uri())
    assert_curves_are_drawn(visit)
    text = text_of(visit)
    for words in ("Comparison of 2 runs", "random play, same games", "sb3_atari_course train"):
        assert words in text
    assert visit.messages == []
    context.close()
