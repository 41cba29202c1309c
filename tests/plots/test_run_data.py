"""What is read of a run folder, and which folders are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_atari_course.plots.run_data import read_run
from tests.plots.run_folders import PROGRESS, make_run, write_games

GAME = "BreakoutNoFrameskip-v4"
HELD = {"env_wrapper": [{"sb3_atari_course.envs.wrap_atari": {"n_stack": 4}}]}


def test_two_monitor_files_are_one_training(tmp_path: Path) -> None:
    """Games in the order in which they ended, whichever environment played them."""
    for i, games in enumerate(["1,10,1.0\n3,30,3.0\n", "2,20,2.0\n"]):
        (tmp_path / f"{i}.monitor.csv").write_text(f'#{{"t_start": 5.0}}\nr,l,t\n{games}')
    curves = read_run(tmp_path)
    assert curves.games.values.tolist() == [1, 2, 3]
    assert curves.games.steps.tolist() == [10, 30, 60]


def test_the_average_is_that_of_a_loop(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).integers(-20, 21, 250).tolist()
    average = read_run(write_games(tmp_path, scores)).average
    naive = [np.mean(scores[max(0, n - 99) : n + 1]) for n in range(250)]
    np.testing.assert_allclose(average.values, naive, atol=1e-9)


@pytest.mark.parametrize(
    ("config", "frames_of_100"),
    [
        (HELD, 25.0),
        ({"env_wrapper": ["stable_baselines3.common.atari_wrappers.AtariWrapper"]}, 25.0),
        ({"env_wrapper": "sb3_atari_course.wrappers.ActionRepeat"}, 25.0),
        ({"env_wrapper": {"sb3_atari_course.wrappers.ActionRepeat": {"frame_skip": 2}}}, 50.0),
        ({"env_wrapper": [{"a.MaxAndSkipEnv": {"skip": 5}}]}, 20.0),
        ({"env_wrapper": [{"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 4}}]}, 100.0),
        ({"env_wrapper": [{"a.ActionRepeat": {"frame_skip": "four"}}]}, 100.0),
        ({"gamma": 0.9}, 100.0),
    ],
)
def test_frames_become_agent_steps_by_the_wrappers_of_the_yml(
    config: dict[str, Any], frames_of_100: float, tmp_path: Path
) -> None:
    curves = read_run(make_run(tmp_path / "run", [1, 2], env_id=GAME, config=config))
    assert curves.unit == "agent steps"
    assert curves.games.steps.tolist() == [frames_of_100, 2 * frames_of_100]


def test_the_log_of_a_finished_training_knows_its_agent_steps_better(tmp_path: Path) -> None:
    """No-ops and FIRE are frames, but no agent steps."""
    run = make_run(tmp_path / "run", [1, 2], env_id=GAME, config=HELD, progress="40,,1.0\n")
    assert read_run(run).games.steps.tolist() == [25, 50]  # it goes on: the log lags behind
    (run / f"{GAME}.zip").touch()
    assert read_run(run).games.steps.tolist() == [20, 40]


def test_the_last_step_is_that_of_any_file(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [1, 2], progress="250,,1.0\n")
    assert read_run(run).n_steps == 250
    np.savez(run / "evaluations.npz", timesteps=np.array([900]), results=[[1, 2]])
    assert read_run(run).n_steps == 900


def test_an_empty_log_is_none(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "progress.csv").touch()
    assert read_run(run).loss.steps.size == 0


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere is no folder: give run folders such as"):
        read_run(tmp_path / "nowhere")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no monitor file in .*: it is no run folder of RL Zoo"):
        read_run(tmp_path)


def test_a_run_without_a_whole_game_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no whole game was finished in .*train for longer"):
        read_run(write_games(tmp_path, []))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("progress.csv", f"{PROGRESS}100,,0.9\n500,0.0", r"ends in the middle of line 3: the trai"),
        ("progress.csv", "time/total_times", r"ends in the middle of line 1: .*plot again"),
        ("progress.csv", f"{PROGRESS}1,2,3,4\n1,2,3,4,5\n", r"progress.csv cannot be read"),
        ("progress.csv", "train/loss\n1\n", r"not every row has its time/total_timesteps"),
        ("progress.csv", f"{PROGRESS},1,2\n", r"not every row has its time/total_timesteps"),
        ("progress.csv", f"{PROGRESS}x,1,2\n", r"progress.csv cannot be read: .*; remove it to"),
        ("1.monitor.csv", '#{"t_start": 0}\nr,l,t\n1,2', r"1.monitor.csv ends in the middle of"),
        ("1.monitor.csv", "", r"monitor files of .* cannot be read"),
        ("1.monitor.csv", "r,l,t\n", r"monitor files of .* cannot be read"),
        ("1.monitor.csv", '#{"t_start": 0}\na,b\n1,2\n', r"monitor files of .* cannot be read"),
        ("1.monitor.csv", '#{"t_start": 0}\nr,l,t\nx,2,3\n', r"monitor files .* cannot be read"),
        ("evaluations.npz", "no zip", r"evaluations.npz cannot be read: .*; remove it to plot"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    (run / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_run(run)
