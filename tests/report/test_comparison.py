"""Several runs in one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sb3_atari_course.report import plot_comparison
from sb3_atari_course.report.curves import draw_comparison, read_runs
from tests.report.run_folders import make_run, write_games


def test_seeds_are_drawn_as_their_mean_with_its_interval(tmp_path: Path) -> None:
    """Constant scores 1, 2, 3: mean 2, half width 2.484."""
    runs = [make_run(tmp_path / str(n), [n, n, n], seed=n) for n in (1, 2, 3)]
    figure = draw_comparison(read_runs(runs))
    (axes,) = figure.axes
    label = "dqn: mean of 3 seeds, 95 % interval of the mean (Student's t)"
    named = [line for line in axes.get_lines() if line.get_label() == label]
    assert len(named) == 1
    np.testing.assert_allclose(named[0].get_ydata(), 2.0)
    singles = [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()[:3]]
    assert singles == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    ((band,),) = ([path.vertices for path in band.get_paths()] for band in axes.collections)
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [-0.4842, 4.4842], atol=1e-3)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [label]
    assert axes.get_xlabel() == "agent steps"


def test_each_environment_has_a_panel_and_each_group_a_line(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / f"{algo}{env_id}", algo=algo, env_id=env_id)
        for algo, env_id in [("dqn", "A-v1"), ("qrdqn", "A-v1"), ("dqn", "B-v1")]
    ]
    figure = draw_comparison(read_runs(runs))
    assert [axes.get_title() for axes in figure.axes] == ["A-v1", "B-v1"]
    labels = [axes.get_legend_handles_labels()[1] for axes in figure.axes]
    assert labels == [["dqn: 1 seed", "qrdqn: 1 seed"], ["dqn: 1 seed"]]
    colors = {line.get_color() for line in figure.axes[0].get_lines()}
    assert len(colors) == 2


def test_an_interval_does_not_press_the_lines_flat(tmp_path: Path) -> None:
    """Two seeds at 0 and 10: the interval is 5 +- 63.5."""
    runs = [make_run(tmp_path / str(n), [n, n], seed=n) for n in (0, 10)]
    bottom, top = draw_comparison(read_runs(runs)).axes[0].get_ylim()
    assert (bottom, top) == (-5, 15)


def test_a_long_name_takes_several_lines(tmp_path: Path) -> None:
    configs = [{f"setting_{i}": f"{value}" * 20 for i in range(4)} for value in "xy"]
    runs = [make_run(tmp_path / str(n), config=config) for n, config in enumerate(configs)]
    labels = draw_comparison(read_runs(runs)).axes[0].get_legend_handles_labels()[1]
    assert [len(label.splitlines()) for label in labels] == [2, 2]
    assert all(len(line) <= 95 for label in labels for line in label.splitlines())


def test_the_picture_is_written(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(n)) for n in range(2)]
    path = plot_comparison(runs, tmp_path / "new/comparison.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_one_run_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two runs, got 1"):
        plot_comparison([make_run(tmp_path / "a")], tmp_path / "x.png")


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    with pytest.raises(ValueError, match=r"is given twice \(as .*\): name each run once"):
        read_runs([run, tmp_path / "a/../a"])


def test_frames_and_steps_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    bare = write_games(tmp_path / "bare", [1])
    with pytest.raises(ValueError, match=r"bare has neither progress.csv nor config.yml"):
        read_runs([make_run(tmp_path / "a"), bare])
