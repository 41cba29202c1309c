"""Our launcher: RL Zoo's commands, our hyperparameters, one clear line for a wrong argument."""

from __future__ import annotations

import argparse
import csv
import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course import AtariCnnPolicy, zoo
from sb3_atari_course.hyperparams import hyperparams_file
from sb3_atari_course.runs import find_run, read_yml
from tests.zoo_runs import TOY, TOY_PARAMS, assert_learned, cli, python_m

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


#: RL Zoo leaves monitor files open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

TRAIN_CARTPOLE = [
    "train",
    "--algo",
    "dqn",
    "--env",
    "CartPole-v1",
    "--eval-freq",
    "-1",
    "--seed",
    "1",
]


@pytest.mark.parametrize(
    "wrong",
    [
        *(["-n", "0"], ["-n", "-2"], ["--num-threads", "0"], ["--log-interval", "0"]),
        *(["--log-interval", "-3"], ["--eval-episodes", "0"], ["--n-eval-envs", "0"]),
        *(["--checkpoint-freq", "-5"], ["--seed", "4294967296"], ["--n-trials", "0"]),
        *(["--n-jobs", "0"], ["--n-startup-trials", "-1"], ["--device", "banana"]),
    ],
    ids=" ".join,
)
def test_a_number_out_of_range_is_refused(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(*TRAIN_CARTPOLE, "-f", str(tmp_path / "logs"), *wrong) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert wrong[0] in last
    assert wrong[1] in last
    assert list(tmp_path.iterdir()) == []


def test_a_flag_is_true_or_false(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``bool("no")``, as RL Zoo reads it, is true."""
    logs = ["-f", str(tmp_path), "-n", "10", "-params", "learning_starts:1"]
    assert cli(*TRAIN_CARTPOLE, *logs, "--truncate-last-trajectory", "no") == 2
    assert "got 'no'" in capsys.readouterr().err
    assert cli(*TRAIN_CARTPOLE, *logs, "--truncate-last-trajectory", "False") == 0
    arguments = read_yml(tmp_path / "dqn/CartPole-v1_1/CartPole-v1/args.yml")
    assert arguments["truncate_last_trajectory"] is False


def test_help_tells_each_flag_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("train", "--help") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: sb3-atari train ")
    assert "--vec-env {dummy,subproc,native}" in printed
    for flag in ("--checkpoint-freq", "--vec-env", "--env "):
        assert printed.count(f"\n  {flag}") == 1
        assert printed.count(f"[{flag}") == 1


def test_our_flags_reach_the_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[argparse.Namespace] = []

    class Spy(zoo.CourseExperimentManager):
        def __init__(self, args: argparse.Namespace, *others: Any, **kwargs: Any) -> None:
            seen.append(args)
            raise SystemExit

    monkeypatch.setattr(zoo, "CourseExperimentManager", Spy)
    monkeypatch.setattr(ExperimentManager, "default_vec_env_cls", None)
    monkeypatch.delitem(sys.modules, "sb3_atari_course.native_zoo", raising=False)
    assert cli(*TRAIN_CARTPOLE, "--vec-env=native", "--checkpoint-freq", "300") == 0
    assert ExperimentManager.default_vec_env_cls is not None
    assert (seen[0].vec_env, Spy.checkpoint_freq) == ("dummy", 300)
    assert "checkpoint_freq" not in vars(seen[0])  # args.yml has RL Zoo's own flags


@pytest.mark.parametrize(
    ("n_steps", "params", "learns"),
    [
        (100, ["learning_starts:99", "train_freq:4", "gradient_steps:1"], True),
        (100, ["learning_starts:100", "train_freq:4", "gradient_steps:1"], False),
        (100, ["learning_starts:100", "train_freq:16", "gradient_steps:1"], True),  # to 112
        (100, ["learning_starts:111", "train_freq:8", "gradient_steps:1", "n_envs:7"], True),
        (100, ["learning_starts:112", "train_freq:8", "gradient_steps:1", "n_envs:7"], False),
    ],
)
def test_a_training_without_an_update_is_warned_of(
    n_steps: int,
    params: list[str],
    learns: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    params = [*params, "policy_kwargs:dict(net_arch=[4])", "buffer_size:200"]
    assert cli(*TRAIN_CARTPOLE, "-n", str(n_steps), "-f", str(tmp_path), "-params", *params) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    model = DQN.load(tmp_path / "dqn/CartPole-v1_1/CartPole-v1.zip")
    assert (model._n_updates > 0) == learns
    assert len(warnings) == (not learns)
    for line in warnings:
        assert "learning_starts:10" in line  # the remedy


@pytest.mark.parametrize(("n_steps", "start"), [(1, 0), (2, 1), (19, 1), (20, 2), (2000, 200)])
def test_an_early_start_leaves_something_to_learn(n_steps: int, start: int) -> None:
    assert zoo.early_start(n_steps) == start < n_steps


@pytest.mark.parametrize("algo", ["qrdqn", "fast_dqn"])
def test_other_algorithms_are_warned_of_too(
    algo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--algo", algo, "--env", "CartPole-v1", "--eval-freq", "-1", "-n", "20"]
    params = ["learning_starts:21", "train_freq:1", "gradient_steps:1"]
    assert cli(*command, "-f", str(tmp_path), "-params", *params) == 0
    assert "learning_starts is 21" in capsys.readouterr().err


class Interrupt(BaseCallback):
    """Sends Ctrl-C at the 30th step.

    :param times: how often; the second one stops at once.
    """

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.times = times

    def _on_step(self) -> bool:
        if self.n_calls == 30:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
        return True


@pytest.mark.parametrize("times", [1, 2])
def test_how_to_resume_is_printed_once(
    times: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = f"callback:[{{'tests.test_zoo.Interrupt': {{'times': {times}}}}}]"
    params = ["learning_starts:10", "train_freq:4", "gradient_steps:1", callback]
    command = [*TRAIN_CARTPOLE, "--checkpoint-freq", "20", "-f", str(tmp_path), "-params", *params]
    assert cli(*command) == 130
    resume = f"python -m sb3_atari_course resume {tmp_path}/dqn/CartPole-v1_1"
    assert capsys.readouterr().out.count(resume) == 1
