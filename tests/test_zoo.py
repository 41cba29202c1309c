"""Our launcher: RL Zoo's commands, our hyperparameters, one clear line for a wrong argument."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import DQN

from sb3_atari_course import AtariCnnPolicy, zoo
from sb3_atari_course.hyperparams import hyperparams_file
from sb3_atari_course.runs import find_run
from tests.zoo_runs import TOY, TOY_PARAMS, assert_learned, python_m

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log folder with one toy training, made from an empty folder without -conf."""
    folder = tmp_path_factory.mktemp("logs")
    python_m(
        *("sb3_atari_course", "train", *RUN, "-f", "logs", "--seed", "1", *TOY),
        *("-n", "600", "--eval-freq", "500", "-params", *TOY_PARAMS),
        cwd=folder,
    )
    return folder / "logs"


def test_train_finds_our_hyperparameters(logs: Path) -> None:
    model = DQN.load(logs / f"dqn/{GAME}_1/{GAME}.zip", buffer_size=1)
    assert type(model.policy) is AtariCnnPolicy
    assert_learned(model)
    assert find_run("dqn", GAME, logs).hyperparams["learning_rate"] == 0.0000625


def test_train_leaves_sb3s_log_as_csv(logs: Path) -> None:
    with open(logs / f"dqn/{GAME}_1/progress.csv") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["train/loss"]) > 0
    assert 0.1 <= float(rows[0]["rollout/exploration_rate"]) < 1
    steps = [int(row["time/total_timesteps"]) for row in rows]
    assert steps == sorted(set(steps))


def test_plot_draws_the_curve(logs: Path) -> None:
    printed = python_m("sb3_atari_course", "plot", *RUN, "-f", str(logs))
    run = logs / f"dqn/{GAME}_1"
    assert printed.splitlines()[-2:] == [
        f"learning curve: {run / 'learning_curve.png'}",
        f"report: {run / 'report.html'}",
    ]
    assert (run / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert (run / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_evaluate_says_where_everything_is_and_the_score(logs: Path) -> None:
    printed = python_m("sb3_atari_course", "evaluate", *RUN, "-f", str(logs), "-n", "2")
    run = logs / f"dqn/{GAME}_1"
    report = json.loads((run / "evaluation.json").read_text())
    assert report["mean"] == np.mean(report["scores"])
    assert report["protocol"]["epsilon"] == 0.05
    for expected in (
        f"run folder: {run}",
        "  0.monitor.csv",
        "  progress.csv",
        f"{GAME}: {report['mean']:.2f} +- ",
        "random play: ",
    ):
        assert expected in printed


@pytest.mark.services
def test_enjoy_and_record(logs: Path) -> None:
    python_m("sb3_atari_course", "enjoy", *RUN, "-f", str(logs), "--no-render", "-n", "50")
    python_m("sb3_atari_course", "record", *RUN, "-f", str(logs), "-n", "20")
    assert list((logs / f"dqn/{GAME}_1/videos").glob("*.mp4"))


def test_env_kwargs_of_a_yml_reach_the_evaluation(tmp_path: Path) -> None:
    """Stock RL Zoo evaluates CartPole with rewards of 1 here."""
    conf = tmp_path / "conf.yml"
    conf.write_text(
        "CartPole-v1:\n  policy: MlpPolicy\n  n_timesteps: 300\n  learning_starts: 100\n"
        "  env_kwargs:\n    sutton_barto_reward: true\n"
    )
    python_m(
        *("sb3_atari_course", "train", "--algo", "dqn", "--env", "CartPole-v1"),
        *("-conf", str(conf), "-f", str(tmp_path), "--eval-freq", "200", "--eval-episodes", "2"),
        *("--seed", "1"),  # a pole that stands to the end pays 0
    )
    results = np.load(tmp_path / "dqn/CartPole-v1_1/evaluations.npz")["results"]
    assert results.tolist() == [[-1.0, -1.0]]  # Sutton and Barto pay -1 for a fallen pole


@pytest.mark.parametrize(
    ("env_id", "ours"),
    [("CartPole-v1", True), ("PongNoFrameskip-v4", True), ("Acrobot-v1", False)],
)
def test_environments_that_we_do_not_know_are_left_to_rl_zoo(env_id: str, ours: bool) -> None:
    assert zoo._our_file("dqn", env_id) == (str(hyperparams_file("dqn")) if ours else None)
    assert zoo._our_file("ppo", env_id) is None
