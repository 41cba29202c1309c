"""HTML report: contents, escaping, self-containedness."""

from __future__ import annotations

import base64
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch as th
from stable_baselines3 import DQN

from sb3_atari_course.report import html_report, write_comparison_report, write_report
from tests.report.run_folders import EVALUATION, make_run
from tests.zoo.runs import cli

EVIL = """</pre></svg><script>alert("x")</script><img src='http://evil/x.png' onerror=y>"""


class Tags(HTMLParser):
    """Collects tags and attributes, and checks that tags are closed in order."""

    VOID = ("meta", "br", "img", "path", "use")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += re.sub(r"\s*\n\s*", "", data)  # of the template


def complete_run(tmp_path: Path) -> Path:
    """Return a run that has evaluation, video and settings."""
    folder = make_run(tmp_path / "CartPole-v1_1", seed=4, evaluation=EVALUATION)
    (folder / "videos").mkdir()
    (folder / "videos/game.mp4").write_bytes(b"a video")
    return folder


def two_runs(tmp_path: Path) -> list[Path]:
    other = make_run(tmp_path / "other", [7.0, 8.0], seed=123456, algo="qrdqn")
    return [complete_run(tmp_path), other]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report of one run."""
    return write_report(complete_run(tmp_path_factory.mktemp("one"))).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report of two."""
    folder = tmp_path_factory.mktemp("two")
    path = write_comparison_report(two_runs(folder), folder / "new/out")
    assert path == folder / "new/out/report.html"
    return path.read_text(encoding="utf-8")


def test_contains_curves_scores_video_command_and_settings(page: str) -> None:
    text = Tags(page).text
    headlines = ("curves", "Scores of full games", "Video", "Command", "Settings", "Files")
    assert [h for h in headlines if h not in text] == []
    assert "python -m rl_zoo3.train --algo dqn --seed 4" in text
    assert "gamma0.9" in text
    assert "max steps108,000" in text
    assert "the agent15050100200" in text  # mean 150, SD 50, lowest 100, highest 200
    assert "random play, same games2010" in text
    assert "100 200" in text  # every score
    assert "videos/game.mp4" in text
    assert f"data:video/mp4;base64,{base64.b64encode(b'a video').decode()}" in page


def test_is_self_contained(page: str) -> None:
    tags = Tags(page)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(tags.tags)
    addresses = [value for name, value in tags.attributes if name in ("src", "href", "poster")]
    assert [a for a in addresses if not a.startswith(("#", "data:"))] == []
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert re.findall(r"url\((?!#)|@import|https?:", page) == []
    assert "default-src 'none'" in page


def test_ids_are_unique_and_links_resolve(comparison: str) -> None:
    attributes = Tags(comparison).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {v[1:] for n, v in attributes if n == "href" and v.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", comparison)) <= set(ids)


def test_escapes_the_content_of_a_run(tmp_path: Path) -> None:
    evaluation = {**EVALUATION, "model": EVIL, "protocol": {EVIL: EVIL}}
    config = {EVIL: EVIL, "nested": {EVIL: [EVIL]}}
    folder = make_run(tmp_path / "a<b>&c", algo=EVIL, config=config, evaluation=evaluation)
    (folder / "CartPole-v1/command.txt").write_text(EVIL)
    (folder / '<img src="x">.txt').touch()
    page = write_report(folder).read_text(encoding="utf-8")
    tags = Tags(page)
    assert "script" not in tags.tags
    assert tags.tags.count("img") == 1  # the curves
    assert tags.text.count('<script>alert("x")</script>') >= 8
    assert "&lt;script&gt;" in page


def test_is_deterministic(tmp_path: Path) -> None:
    run = complete_run(tmp_path)
    first = write_report(run).read_bytes()
    assert (run / "report.html").is_file()
    assert write_report(run).read_bytes() == first


def text_of(run: Path) -> str:
    return Tags(write_report(run).read_text(encoding="utf-8")).text


def test_shows_the_command_that_adds_what_is_missing(tmp_path: Path) -> None:
    number = "2_28bf65b8-5e5b-4de1-b5da-3522d497669e"
    text = text_of(make_run(tmp_path / f"logs/dqn/CartPole-v1_{number}"))
    flags = f"--algo dqn --env CartPole-v1 -f {tmp_path}/logs --exp-id {number}"
    for command in ("evaluate", "record"):
        assert f":python -m sb3_atari_course {command} {flags}" in text


def test_embeds_the_newest_video_unless_it_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = complete_run(tmp_path)
    (run / "videos/zzz.mp4").write_bytes(b"older")
    (run / "CartPole-v1.zip").touch()
    for name, time in (("videos/game.mp4", 20), ("videos/zzz.mp4", 10), ("CartPole-v1.zip", 15)):
        os.utime(run / name, (time, time))
    page = write_report(run).read_text(encoding="utf-8")
    assert base64.b64encode(b"a video").decode() in page
    assert "earlier" not in page
    os.utime(run / "CartPole-v1.zip", (30, 30))
    assert "videos/game.mp4, of an earlier model" in text_of(run)
    monkeypatch.setattr(html_report, "MOST_VIDEO_BYTES", 5)
    tags = Tags(write_report(run).read_text(encoding="utf-8"))
    assert "video" not in tags.tags
    assert "videos/game.mp4 (7 Bytes, of an earlier model) is too large" in tags.text


def test_shows_requested_training_length(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = run / "CartPole-v1/args.yml"
    path.write_text(path.read_text().replace("n_timesteps\n    - -1", "n_timesteps\n    - 700"))
    assert "n_timesteps700 (set by -n; config file: 5000)" in text_of(run)


def test_shows_which_model_was_evaluated(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", evaluation={**EVALUATION, "model": "best_<model>.zip"})
    text = text_of(run)
    assert "evaluation of best_<model>.zip: mean" in text
    assert "best_<model>.zip15050100200" in text


def test_marks_scores_of_an_earlier_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluated, trained further, plotted."""
    monkeypatch.chdir(tmp_path)
    run = make_run(Path("logs/dqn/CartPole-v1_1"), config={"policy": "MlpPolicy"})
    other = make_run(Path("other"))
    model = DQN("MlpPolicy", "CartPole-v1", seed=0, buffer_size=1)
    model.save(run / "CartPole-v1")
    assert cli("evaluate", "--algo", "dqn", "--env", "CartPole-v1", "-n", "1") == 0
    now = text_of(run)
    assert "evaluation: mean" in now
    assert "gamesthe agent" in now
    th.nn.init.zeros_(model.q_net.q_net[0].weight)  # as after further training
    model.save(run / "CartPole-v1")
    later = text_of(run)
    assert "evaluation of an earlier model: mean" in later
    assert "evaluation: mean" not in later
    assert "gamesan earlier model" in later
    assert "CartPole-v1.zip has been replaced since:python -m sb3_atari_course evaluate" in later
    both = write_comparison_report([run, other], "both").read_text(encoding="utf-8")
    assert "(n = 1, an earlier model)" in Tags(both).text


def test_comparison_has_a_row_with_steps_and_score_for_each_run(comparison: str) -> None:
    text = Tags(comparison).text
    assert "CartPole-v1_1dqnCartPole-v143003" + "2" + "150 ± 50 (n = 2)" in text
    assert "otherqrdqnCartPole-v1123456200" + "2" + "7.5not evaluated" in text
