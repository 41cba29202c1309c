"""Data of a run folder: curves, facts, rejected folders and files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_course import QLearning
from sb3_atari_course.callbacks import CsvLog, EpisodeTable
from sb3_atari_course.report.html_report import write_report
from sb3_atari_course.report.run_data import read_facts, read_run
from tests.report.run_folders import EVALUATION, PROGRESS, make_run, write_games

GAME = "BreakoutNoFrameskip-v4"
HELD = {"env_wrapper": [{"sb3_atari_course.envs.wrap_atari": {"n_stack": 4}}]}


def test_moving_average_equals_a_naive_loop(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).integers(-20, 21, 250).tolist()
    average = read_run(write_games(tmp_path, scores)).average
    naive = [np.mean(scores[max(0, n - 99) : n + 1]) for n in range(250)]
    np.testing.assert_allclose(average.values, naive, atol=1e-9)


@pytest.mark.parametrize(
    ("config", "frames_of_100"),
    [
        (HELD, 25.0),
        ({"env_wrapper": "sb3_atari_course.wrappers.ActionRepeat"}, 25.0),
        ({"env_wrapper": {"sb3_atari_course.wrappers.ActionRepeat": {"frame_skip": 2}}}, 50.0),
        ({"env_wrapper": [{"a.MaxAndSkipEnv": {"skip": 5}}]}, 20.0),
        ({"env_wrapper": [{"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 4}}]}, 100.0),
        ({"env_wrapper": [{"a.ActionRepeat": {"frame_skip": "four"}}]}, 100.0),
        ({"gamma": 0.9}, 100.0),
    ],
)
def test_converts_frames_to_agent_steps_by_the_frame_skip(
    config: dict[str, Any], frames_of_100: float, tmp_path: Path
) -> None:
    curves = read_run(make_run(tmp_path / "run", [1, 2], env_id=GAME, config=config))
    assert curves.unit == "agent steps"
    assert curves.games.steps.tolist() == [frames_of_100, 2 * frames_of_100]


def test_agent_steps_do_not_exceed_the_log_of_a_finished_run(tmp_path: Path) -> None:
    """No-ops and FIRE are frames, but not agent steps."""
    run = make_run(tmp_path / "run", [1, 2], env_id=GAME, config=HELD, progress="40,,1.0\n")
    assert read_run(run).games.steps.tolist() == [25, 50]  # still training: the log lags behind
    (run / f"{GAME}.zip").touch()
    assert read_run(run).games.steps.tolist() == [20, 40]


def write_envs(run: Path, *envs: str) -> None:
    """Write a monitor file of each environment; a game is ``score,length,time``."""
    for i, games in enumerate(envs):
        lines = "".join(f"{game}\n" for game in games.split())
        (run / f"{i}.monitor.csv").write_text(f'#{{"t_start": 5.0}}\nr,l,t\n{lines}')


@pytest.mark.parametrize("is_finished", [False, True])
@pytest.mark.parametrize("progress", [None, "1520,,1.0\n"])
def test_end_steps_are_summed_over_parallel_environments(
    is_finished: bool, progress: str | None, tmp_path: Path
) -> None:
    """Two environments in parallel; a long game is not finished."""
    run = make_run(tmp_path / "run", progress=progress)
    write_envs(run, "1,100,1.0 3,250,3.5", "2,300,3.0")
    if is_finished:
        (run / "CartPole-v1.zip").touch()
    curves = read_run(run)
    assert curves.games.values.tolist() == [1, 2, 3]
    assert curves.games.steps.tolist() == [200, 600, 700]
    assert curves.n_steps == (700 if progress is None else 1520)


def test_log_can_only_reduce_steps_of_unknown_frame_skip(tmp_path: Path) -> None:
    """The number of frames per step is unknown: at least one."""
    write_envs(tmp_path, "1,100,1.0", "2,150,3.0")
    progress = tmp_path / "progress.csv"
    for logged, steps in (("500", [200, 300]), ("300", [200, 300]), ("75", [50, 75])):
        progress.write_text(f"time/total_timesteps\n{logged}\n")
        curves = read_run(tmp_path)
        assert curves.games.steps.tolist() == steps
        assert (curves.unit, curves.n_steps) == ("agent steps", max(int(logged), steps[-1]))


def test_curve_of_a_real_training_equals_its_episode_table(tmp_path: Path) -> None:
    """Eight taxis, whose games of 200 steps all end at once; the last ones are not finished."""
    env = make_vec_env("Taxi-v4", 8, seed=0, monitor_dir=str(tmp_path))
    model, table = QLearning("QTablePolicy", env, seed=0), EpisodeTable(every=10**6)
    model.learn(3000, callback=[table, CsvLog(tmp_path)])
    model.logger.close()
    env.close()
    curves = read_run(tmp_path)
    assert [row.steps for row in table.rows[:8]] == [1600] * 8
    assert curves.games.steps.tolist() == [row.steps for row in table.rows]
    assert curves.n_steps == 3000


LOG = "time/total_timesteps,time/episodes,eval/mean_reward\n"


@pytest.mark.parametrize(
    ("rows", "steps"),
    [
        # of 4 games, at 100 to 400 by their lengths
        ("", [100, 200, 300, 400]),
        ("150,1,\n170,,9\n260,3,\n", [100, 200, 260, 400]),  # the third at 260
        ("150,2,\n350,2,\n500,4,\n", [100, 150, 350, 400]),  # the second by 150, two after 350
        ("450,2,\n600,2,\n", [100, 200, 600, 600]),  # the others later
        ("150,5,\n", [100, 200, 300, 400]),  # lives, not games
    ],
)
def test_end_steps_stay_within_the_bounds_of_the_log(
    rows: str, steps: list[float], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", [1, 2, 3, 4])
    (run / "progress.csv").write_text(LOG + rows)
    if not rows:
        (run / "progress.csv").unlink()
    assert read_run(run).games.steps.tolist() == steps


def test_second_learn_from_0_continues_the_step_axis(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [1, 2])
    log = "time/total_timesteps,time/episodes,train/loss\n110,1,0.5\n50,,0.4\n190,1,0.3\n"
    (run / "progress.csv").write_text(log)
    (run / "CartPole-v1.zip").touch()
    np.savez(run / "evaluations.npz", timesteps=np.array([60, 110, 60]), results=[[1], [2], [3]])
    curves = read_run(run)
    assert curves.games.steps.tolist() == [100, 200]
    assert curves.loss.steps.tolist() == [110, 160, 300]
    assert curves.evaluations.steps.tolist() == [60, 110, 170]
    assert curves.n_steps == 300


def test_n_steps_is_the_largest_of_all_files(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [1, 2], progress="250,,1.0\n")
    assert read_run(run).n_steps == 250
    np.savez(run / "evaluations.npz", timesteps=np.array([900]), results=[[1, 2]])
    assert read_run(run).n_steps == 900


def test_rejects_folders_that_are_not_runs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, match in (
        (tmp_path / "nowhere", "nowhere is not a folder"),
        (tmp_path / "empty", "no monitor file in .*empty"),
        (write_games(tmp_path, []), "no full game"),
    ):
        with pytest.raises(ValueError, match=match):
            read_run(folder)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("progress.csv", f"{PROGRESS}100,,0.9\n500,0.0", r"progress\.csv .*middle of line 3"),
        ("progress.csv", f"{PROGRESS}1,2,3,4\n1,2,3,4,5\n", r"progress\.csv cannot be read"),
        ("progress.csv", "train/loss\n1\n", r"progress\.csv .*time/total_timesteps"),
        ("progress.csv", f"{PROGRESS}x,1,2\n", r"progress\.csv cannot be read"),
        ("1.monitor.csv", '#{"t_start": 0}\nr,l,t\n1,2', r"1\.monitor\.csv .*middle of line"),
        ("1.monitor.csv", "r,l,t\n", "monitor files .* cannot be read"),
        ("1.monitor.csv", '#{"t_start": 0}\na,b\n1,2\n', "monitor files .* cannot be read"),
        ("evaluations.npz", "no zip", r"evaluations\.npz cannot be read"),
    ],
)
def test_error_names_the_unreadable_file(
    name: str, content: str, match: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    (run / name).write_text(content)
    with pytest.raises(ValueError, match=match):
        read_run(run)


#: FIPS 180-2, appendix B.1
SHA_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_reads_run_metadata(tmp_path: Path) -> None:
    facts = read_facts(make_run(tmp_path / "CartPole-v1_3", seed=8, evaluation=EVALUATION))
    assert (facts.algo, facts.env_id, facts.seed) == ("dqn", "CartPole-v1", 8)
    assert facts.hyperparams == {"gamma": 0.9, "n_timesteps": 5000}
    assert facts.command == "python -m rl_zoo3.train --algo dqn --seed 8"
    assert facts.report is not None
    assert (facts.report.mean, facts.report.std, facts.report.random_mean) == (150, 50, 20)
    assert facts.evaluated_model == "CartPole-v1.zip"


@pytest.mark.parametrize(
    ("model", "sha256", "written_at", "evaluated"),
    [
        ("CartPole-v1.zip", SHA_OF_ABC, 20, "the agent"),  # copied: its time is irrelevant
        ("CartPole-v1.zip", "0" * 64, 0, "an earlier model"),
        ("CartPole-v1.zip", None, 0, "the agent"),  # by an older version
        ("CartPole-v1.zip", None, 20, "an earlier model"),
        ("best_model.zip", SHA_OF_ABC, 20, "best_model.zip"),
        ("best_model.zip", "0" * 64, 0, "an earlier model"),
        ("rl_model_50_steps.zip", "0" * 64, 20, "rl_model_50_steps.zip"),  # deleted
    ],
)
def test_evaluated_model_is_identified_by_hash_or_time(
    model: str, sha256: str | None, written_at: int, evaluated: str, tmp_path: Path
) -> None:
    noted = {} if sha256 is None else {"model_sha256": sha256}
    run = make_run(tmp_path / "run", evaluation={**EVALUATION, **noted, "model": model})
    os.utime(run / "evaluation.json", (10, 10))
    for name in ("CartPole-v1.zip", "best_model.zip"):
        (run / name).write_text("abc")
        os.utime(run / name, (written_at, written_at))
    facts = read_facts(run)
    assert (facts.evaluated, facts.evaluated_model) == (evaluated, model)


def test_title_has_no_repetition(tmp_path: Path) -> None:
    titles = [read_facts(make_run(tmp_path / name)).title for name in ("CartPole-v1_3", "try")]
    assert titles == ["dqn · CartPole-v1_3", "dqn · CartPole-v1 · try"]


def test_env_id_with_a_slash_is_read_from_the_settings(tmp_path: Path) -> None:
    """RL Zoo writes a hyphen for it."""
    run = write_games(tmp_path, [1])
    (run / "ALE-Breakout-v5").mkdir()
    (run / "ALE-Breakout-v5/args.yml").write_text("algo: dqn\nenv: ALE/Breakout-v5\n")
    (run / "ALE-Breakout-v5.zip").touch()
    facts = read_facts(run)
    assert facts.env_id == "ALE/Breakout-v5"
    assert facts.is_finished


def test_files_exclude_the_report(tmp_path: Path) -> None:
    facts = read_facts(make_run(tmp_path / "run"))
    (facts.folder / "report.html").touch()
    names = [path.name for path in facts.files]
    assert names == ["0.monitor.csv", "args.yml", "command.txt", "config.yml"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        json.dumps({**EVALUATION, "scores": []}),
        json.dumps({**EVALUATION, "scores": ["ten"]}),
        json.dumps({**EVALUATION, "protocol": 3}),
        json.dumps({**EVALUATION, "nonsense": 3}),
    ],
)
def test_error_names_the_unreadable_evaluation(content: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "evaluation.json").write_text(content)
    with pytest.raises(ValueError, match=r"evaluation\.json"):
        read_facts(run)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:TOPSECRET@host/db", "postgresql://me@host/db"),
        ("mysql://host?user=me&password=TOPSECRET", "mysql://host?user=me"),
    ],
)
def test_removes_passwords(address: str, shown: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "CartPole-v1_1")
    settings = run / "CartPole-v1"
    (settings / "args.yml").write_text(f"algo: dqn\nenv: CartPole-v1\nstorage: {address}\n")
    (settings / "command.txt").write_text(f"python -m rl_zoo3.train --storage {address} --seed 1")
    (settings / "config.yml").write_text(f"callback: {{my.Log: {{to: '{address}'}}}}\n")
    facts = read_facts(run)
    assert facts.arguments["storage"] == shown
    assert facts.command == f"python -m rl_zoo3.train --storage {shown} --seed 1"
    assert facts.hyperparams == {"callback": {"my.Log": {"to": shown}}}
    assert "TOPSECRET" not in write_report(run).read_text()


def test_ignores_unfinished_videos(tmp_path: Path) -> None:
    """A killed ``record`` leaves one."""
    run = make_run(tmp_path / "run")
    (run / "videos/.part-x").mkdir(parents=True)
    (run / "videos/.part-x/a.mp4").touch()
    assert read_facts(run).video is None


def test_rejects_empty_settings(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for name in ("args.yml", "config.yml"):
        content = (run / "CartPole-v1" / name).read_text()
        (run / "CartPole-v1" / name).write_text("")
        with pytest.raises(ValueError, match=name):
            read_facts(run)
        (run / "CartPole-v1" / name).write_text(content)
