"""Pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sb3_atari_course.plots import plot_pipeline, plot_run


def make_run(folder: Path, n_games: int) -> Path:
    games = "".join(f"{n}.0,{100 + n},{n}.5\n" for n in range(n_games))
    (folder / "0.monitor.csv").write_text(f'#{{"t_start": 0.0, "env_id": "x"}}\nr,l,t\n{games}')
    return folder


def n_colored(path: Path) -> int:
    """Return how many pixels of a picture are neither grey nor white."""
    picture = cv2.imread(str(path)).astype(int)
    return int((np.ptp(picture, axis=2) > 60).sum())


def test_a_run_with_everything(tmp_path: Path) -> None:
    make_run(tmp_path, 50)
    plain = n_colored(plot_run(tmp_path))
    (tmp_path / "progress.csv").write_text(
        "time/total_timesteps,train/loss,rollout/exploration_rate\n"
        "100,,0.9\n500,0.02,0.5\n1500,0.01,0.1\n"
    )
    np.savez(tmp_path / "evaluations.npz", timesteps=np.array([500, 1000]), results=np.ones((2, 5)))
    path = plot_run(tmp_path)
    assert path == tmp_path / "learning_curve.png"
    assert n_colored(path) > plain + 300 > 600


def test_a_run_without_a_whole_game_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no whole game was finished in .*train for longer"):
        plot_run(make_run(tmp_path, 0))


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'needs the extra "plots": pip install'):
        plot_run(make_run(tmp_path, 3))


def test_the_picture_of_the_pipeline(tmp_path: Path) -> None:
    path = plot_pipeline(tmp_path / "pipeline.png")
    picture = cv2.imread(str(path))
    assert picture.shape[0] > 200
    assert picture.shape[1] > 1000
    assert n_colored(path) > 300  # the coloured screen, the other stages are grey
