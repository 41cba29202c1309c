"""The picture of one run."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from sb3_atari_course.report import plot_run, write_report
from sb3_atari_course.report.curves import draw_run
from sb3_atari_course.report.run_data import read_run
from tests.report.run_folders import EVALUATION, PROGRESS, lines, make_run, write_games


def test_what_is_drawn(tmp_path: Path) -> None:
    """150 games of 100 frames and the scores 0.5, 1.5, ... in 3,750 agent steps."""
    write_games(tmp_path, [game + 0.5 for game in range(150)])
    (tmp_path / "progress.csv").write_text(f"{PROGRESS}100,,0.9\n500,0.02,0.5\n3750,0.01,0.1\n")
    np.savez(
        tmp_path / "evaluations.npz", timesteps=np.array([500, 1000]), results=[[1, 2], [3, 5]]
    )
    figure = draw_run(read_run(tmp_path))
    scores, loss, epsilon = lines(figure)
    steps = [25.0 * game for game in range(1, 151)]
    assert scores["one whole game"] == (steps, [game + 0.5 for game in range(150)])
    average = scores["mean of the last 100 games"]
    assert average[0] == steps
    assert average[1][:2] == [0.5, 1.0]
    assert average[1][-1] == np.mean([game + 0.5 for game in range(50, 150)])
    assert scores["RL Zoo's evaluation"] == ([500, 1000], [1.5, 4.0])
    assert "random play" not in scores
    assert loss[""] == ([500, 3750], [0.02, 0.01])
    assert epsilon[""] == ([100, 500, 3750], [0.9, 0.5, 0.1])
    assert [axes.get_ylabel() for axes in figure.axes] == ["true score", "loss", "epsilon"]
    assert figure.axes[-1].get_xlabel() == "agent steps"


def test_a_picture_lies_in_the_run_folder(tmp_path: Path) -> None:
    path = plot_run(make_run(tmp_path / "run"))
    assert path == tmp_path / "run/learning_curve.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_or_where_one_wants_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = plot_run(run, output=tmp_path / "new/folder")
    assert path == tmp_path / "new/folder/learning_curve.png"
    assert path.is_file()
    assert not (run / "learning_curve.png").exists()


def test_a_run_with_monitor_files_only(tmp_path: Path) -> None:
    figure = draw_run(read_run(write_games(tmp_path, [1, 2, 3])))
    scores, loss, epsilon = lines(figure)
    assert scores["one whole game"][0] == [100, 200, 300]
    assert loss[""] == epsilon[""] == ([], [])
    assert figure.axes[-1].get_xlabel() == "steps, as Monitor counts them"
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert said == [[], ["not logged"], ["not logged"]]


def test_thousands_of_games_are_one_picture_in_an_svg(tmp_path: Path) -> None:
    """2,001 of them: as shapes they would be more than the same number of elements."""
    run = make_run(tmp_path / "run", [float(n % 7) for n in range(2001)])
    page = write_report(run).read_text(encoding="utf-8")
    found = re.search(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert found is not None
    svg = base64.b64decode(found[1]).decode()
    assert 'href="data:image/png;base64,' in svg
    assert svg.count("<use") < 500


def test_random_play_is_a_line_beside_the_scores(tmp_path: Path) -> None:
    figure = draw_run(read_run(make_run(tmp_path / "run", evaluation=EVALUATION)))
    assert lines(figure)[0]["random play"][1] == [20.0, 20.0]


def test_a_table_has_a_td_error_instead_of_a_loss(tmp_path: Path) -> None:
    write_games(tmp_path, [1, 2, 3])
    (tmp_path / "progress.csv").write_text(
        "time/total_timesteps,train/td_error,rollout/exploration_rate\n100,2.5,0.9\n300,1.5,0.8\n"
    )
    figure = draw_run(read_run(tmp_path))
    assert lines(figure)[1][""] == ([100, 300], [2.5, 1.5])
    assert figure.axes[1].get_ylabel() == "mean |TD error|"


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    """A dollar begins no formula."""
    folder = tmp_path / r"a$\frac$b"
    folder.mkdir()
    assert plot_run(write_games(folder, [1])).is_file()


@pytest.mark.parametrize("module", ["matplotlib", "pandas", "scipy"])
def test_the_missing_extra_is_named(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'needs the extra "plots": pip install'):
        plot_run(write_games(tmp_path, [1, 2, 3]))
