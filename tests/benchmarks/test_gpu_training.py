"""What the benchmark of a card measures, as far as it can be tried without one."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import cv2
import pytest
import torch as th

from benchmarks import gpu_training
from sb3_atari_course import FastDQN, make_atari_env


@pytest.mark.services
def test_a_profile_finds_each_step_of_the_emulators() -> None:
    env = gpu_training.Marked(make_atari_env(gpu_training.GAME, 4, native=True, seed=0))
    model = gpu_training.make_model(FastDQN, env, buffer_size=64)
    playing, on_card = gpu_training.profiled(model, 40)
    assert len(playing) == 10
    assert all(start < end for start, end in playing)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(playing))
    if not th.cuda.is_available():
        assert on_card == []
        assert gpu_training.busy_share(model, 8) == 0.0
    assert gpu_training.learn(model, 40) > 0


def test_the_busy_share_is_that_of_the_union(monkeypatch: pytest.MonkeyPatch) -> None:
    playing, on_card = [(10.0, 20.0)], [(12.0, 14.0), (13.0, 16.0), (22.0, 30.0)]
    monkeypatch.setattr(gpu_training, "profiled", lambda model, n_steps: (playing, on_card))
    assert gpu_training.busy_share(None, 5) == pytest.approx(12 / 20)  # type: ignore[arg-type]


def test_the_timeline_shows_who_works_when(tmp_path: Path) -> None:
    playing = [(float(i), i + 0.5) for i in range(4)]
    on_card = [(i + 0.25, i + 0.75) for i in range(4)]
    gpu_training.draw_timeline(tmp_path / "timeline.png", playing, on_card, n_steps=2)
    assert cv2.imread(str(tmp_path / "timeline.png")).shape[1] == 1200


@pytest.mark.skipif(th.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_training.py"])
    with pytest.raises(SystemExit, match="there is no CUDA card here: nothing to measure"):
        gpu_training.main()
