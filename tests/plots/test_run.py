"""Pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from sb3_atari_course.plots import plot_episodes, plot_pipeline, plot_run


def make_run(folder: Path, n_games: int) -> Path:
    games = "".join(f"{n}.5,100,{n}.5\n" for n in range(n_games))
    (folder / "0.monitor.csv").write_text(f'#{{"t_start": 0.0, "env_id": "x"}}\nr,l,t\n{games}')
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Return the list in which the figures end that are saved."""
    figures: list[Figure] = []
    savefig = Figure.savefig

    def spy(figure: Figure, path: Any) -> None:
        figures.append(figure)
        savefig(figure, path)

    monkeypatch.setattr(Figure, "savefig", spy)
    return figures


def lines(figure: Figure) -> list[dict[str, tuple[list[float], list[float]]]]:
    """Return label -> (x, y) of the curves in each panel; unlabelled ones as ''."""
    return [
        {
            "" if str(line.get_label()).startswith("_") else str(line.get_label()): (
                np.asarray(line.get_xdata()).tolist(),
                np.asarray(line.get_ydata()).tolist(),
            )
            for line in axes.get_lines()
        }
        for axes in figure.axes
    ]


def test_what_is_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    """150 games of 100 frames and the scores 0.5, 1.5, ... in 3,750 agent steps."""
    make_run(tmp_path, 150)
    (tmp_path / "progress.csv").write_text(
        "time/total_timesteps,train/loss,rollout/exploration_rate\n"
        "100,,0.9\n500,0.02,0.5\n3750,0.01,0.1\n"
    )
    np.savez(
        tmp_path / "evaluations.npz", timesteps=np.array([500, 1000]), results=[[1, 2], [3, 5]]
    )
    path = plot_run(tmp_path)
    assert path == tmp_path / "learning_curve.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    scores, loss, epsilon = lines(drawn[0])
    steps = [25.0 * game for game in range(1, 151)]
    assert scores["one whole game"] == (steps, [game + 0.5 for game in range(150)])
    average = scores["mean of the last 100 games"]
    assert average[0] == steps
    assert average[1][:2] == [0.5, 1.0]
    assert average[1][-1] == np.mean([game + 0.5 for game in range(50, 150)])
    assert scores["RL Zoo's evaluation"] == ([500, 1000], [1.5, 4.0])
    assert loss[""] == ([500, 3750], [0.02, 0.01])
    assert epsilon[""] == ([100, 500, 3750], [0.9, 0.5, 0.1])
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ["true score", "loss", "epsilon"]
    assert drawn[0].axes[-1].get_xlabel() == "agent steps"


def test_a_run_with_monitor_files_only(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_run(make_run(tmp_path, 3))
    scores, loss, epsilon = lines(drawn[0])
    assert scores["one whole game"][0] == [100, 200, 300]
    assert loss == epsilon == {}
    assert drawn[0].axes[-1].get_xlabel() == "steps, as Monitor counts them"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no monitor file in .*: it is no run folder"):
        plot_run(tmp_path)


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
    colored = np.ptp(picture.astype(int), axis=2) > 60
    assert colored.sum() > 300  # the coloured screen
    assert not colored[:, 170:].any()  # the other stages are grey


def test_a_table_has_a_td_error_instead_of_a_loss(tmp_path: Path, drawn: list[Figure]) -> None:
    make_run(tmp_path, 3)
    (tmp_path / "progress.csv").write_text(
        "time/total_timesteps,train/td_error,rollout/exploration_rate\n100,2.5,0.9\n300,1.5,0.8\n"
    )
    plot_run(tmp_path)
    assert lines(drawn[0])[1][""] == ([100, 300], [2.5, 1.5])
    assert drawn[0].axes[1].get_ylabel() == "mean |TD error|"


def test_steps_and_returns_have_an_axis_each() -> None:
    figure = plot_episodes([10, 20, 60], [-4, -2, 3], window=2)
    steps, returns = lines(figure)
    assert steps[""] == ([0, 1, 2], [10, 20, 60])
    assert steps["steps, mean of the last 2 episodes"] == ([0, 1, 2], [10, 15, 40])
    assert returns[""] == ([0, 1, 2], [-4, -2, 3])
    assert returns["return, mean of the last 2 episodes"] == ([0, 1, 2], [-4, -3, 0.5])
    assert [axes.get_ylabel() for axes in figure.axes] == ["steps", "return"]
    assert figure.axes[0].get_xlabel() == "episode"


def test_a_window_may_be_longer_than_the_training() -> None:
    steps, _ = lines(plot_episodes([10, 20], [0, 0], window=100))
    assert steps["steps, mean of the last 100 episodes"][1] == [10, 15]


@pytest.mark.parametrize(
    ("lengths", "returns", "window", "message"),
    [
        ([], [], 100, "no episode was finished"),
        ([1], [1, 2], 100, "got 1 and 2"),
        ([1], [1], 0, "window must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_drawn(
    lengths: list[int], returns: list[int], window: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_episodes(lengths, returns, window=window)
