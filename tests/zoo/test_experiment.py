"""Experiment manager: trainings by our launcher, run folders, errors."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course import AtariCnnPolicy
from sb3_atari_course._common.errors import TrainingFailedError
from sb3_atari_course.hyperparams import hyperparams_file
from sb3_atari_course.zoo import experiment
from sb3_atari_course.zoo.run_folder import find_run, read_yml
from tests.zoo.runs import TOY, TOY_PARAMS, assert_learned, cli, printed_by

#: RL Zoo leaves monitor files open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]
CARTPOLE = ["--algo", "dqn", "--env", "CartPole-v1"]
TRAIN_CARTPOLE = ["train", *CARTPOLE, "--eval-freq", "-1", "--seed", "1"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log folder with a toy training, started in an empty folder without -conf."""
    folder = tmp_path_factory.mktemp("logs")
    printed_by(
        *("train", *RUN, "-f", "logs", "--seed", "1", *TOY),
        *("--env-kwargs", "max_num_frames_per_episode:200", "-params", *TOY_PARAMS),
        cwd=folder,
    )
    return folder / "logs"


def test_train_uses_our_hyperparameters_without_conf(logs: Path) -> None:
    model = DQN.load(logs / f"dqn/{GAME}_1/{GAME}.zip", buffer_size=1)
    assert type(model.policy) is AtariCnnPolicy
    assert_learned(model)
    assert find_run("dqn", GAME, logs).hyperparams["learning_rate"] == 0.0000625


def test_train_writes_sb3s_log_as_csv(logs: Path) -> None:
    with open(logs / f"dqn/{GAME}_1/progress.csv") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["train/loss"]) > 0
    assert 0.1 <= float(rows[0]["rollout/exploration_rate"]) < 1
    steps = [int(row["time/total_timesteps"]) for row in rows]
    assert steps == sorted(set(steps))


def test_evaluate_prints_paths_and_score(logs: Path) -> None:
    printed = printed_by("evaluate", *RUN, "-f", str(logs), "-n", "2", "--max-frames", "400")
    run = logs / f"dqn/{GAME}_1"
    report = json.loads((run / "evaluation.json").read_text())
    assert report["mean"] == np.mean(report["scores"])
    assert report["protocol"]["epsilon"] == 0.05
    for expected in (
        f"dqn on {GAME} ({run / f'{GAME}.zip'}): 2 games with the agent, 2 with random actions",
        f"{GAME}: {report['mean']:.2f} +- ",
        "random play: ",
    ):
        assert expected in printed


def test_enjoy_plays_the_run_and_record_writes_an_mp4(logs: Path) -> None:
    printed_by("enjoy", *RUN, "-f", str(logs), "--no-render", "-n", "50")
    printed_by("record", *RUN, "-f", str(logs), "-n", "20")
    assert list((logs / f"dqn/{GAME}_1/videos").glob("*.mp4"))


def test_env_kwargs_of_the_yml_apply_to_evaluation(tmp_path: Path) -> None:
    """Stock RL Zoo would evaluate CartPole with rewards of 1."""
    conf = tmp_path / "conf.yml"
    conf.write_text(
        "CartPole-v1:\n  policy: MlpPolicy\n  n_timesteps: 300\n  learning_starts: 100\n"
        "  env_kwargs:\n    sutton_barto_reward: true\n"
    )
    printed_by(
        *("train", "--algo", "dqn", "--env", "CartPole-v1"),
        *("-conf", str(conf), "-f", str(tmp_path), "--eval-freq", "200", "--eval-episodes", "2"),
        *("--seed", "1"),  # truncated episodes would have a return of 0
    )
    results = np.load(tmp_path / "dqn/CartPole-v1_1/evaluations.npz")["results"]
    assert results.tolist() == [[-1.0, -1.0]]  # reward -1 at termination


@pytest.mark.parametrize(
    ("algo", "env_id", "file"),
    [
        ("dqn", "CartPole-v1", "dqn"),
        ("dqn", "PongNoFrameskip-v4", "dqn"),
        ("dqn", "Acrobot-v1", None),  # RL Zoo's
        ("ppo", "Acrobot-v1", None),
        ("q_learning", "Acrobot-v1", "q_learning"),
        ("fast_dqn", "PongNoFrameskip-v4", "fast_dqn"),
        ("fast_dqn", "CartPole-v1", "dqn"),
    ],
)
def test_default_hyperparameter_file_is_ours_or_else_that_of_rl_zoo(
    algo: str, env_id: str, file: str | None
) -> None:
    expected = None if file is None else str(hyperparams_file(file))
    assert experiment._our_file(algo, env_id) == expected


@pytest.mark.parametrize(
    ("storage", "named"),
    [
        ("sqlite:///no.db", "'s'"),
        ("no.log", "no.log"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:9/x", "postgresql+psycopg://me@127.0.0.1:9/x"),
        ("mysql+nothing://me:hunter2@127.0.0.1:9/x", "mysql+nothing://me@127.0.0.1:9/x"),
    ],
)
def test_unreadable_trial_is_reported_on_one_line(
    storage: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--storage", storage, "--study-name", "s", "--trial-id", "3"]
    assert cli("train", *CARTPOLE, *flags, "-n", "10") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert named in line
    assert "hunter2" not in line
    assert not Path("logs").exists()


SECRET = "postgresql://me:TOPSECRET@host/db?sslpassword=TOPSECRET"


def train_with_password(flags: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with a ``--storage``; assert that no file contains its password."""
    command = ["train", *flags, "--seed", "1", "-f", str(folder)]
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "sb3_atari_course", *command])
    assert cli(*command) == 0
    for path in folder.rglob("*.*"):
        assert path.is_dir() or b"TOPSECRET" not in path.read_bytes()


@pytest.mark.parametrize("storage", [["--storage", SECRET], [f"--storage={SECRET}"]])
def test_training_writes_no_password(
    storage: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--algo", "q_learning", "--env", "Taxi-v4", "-n", "50", "--eval-freq", "-1", *storage]
    train_with_password(flags, tmp_path, monkeypatch)
    settings = tmp_path / "q_learning/Taxi-v4_1/Taxi-v4"
    assert read_yml(settings / "args.yml")["storage"] == "postgresql://me@host/db"
    assert "postgresql://me@host/db --seed" in (settings / "command.txt").read_text()


def test_rl_zoo_study_pickles_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pickled = {}

    def search(self: ExperimentManager) -> None:
        pickled.update(storage=self.storage, command=" ".join(sys.orig_argv))

    monkeypatch.setattr(ExperimentManager, "hyperparameters_optimization", search)
    monkeypatch.setenv("PGPASSWORD", "old")
    flags = [*CARTPOLE, "-optimize", "--storage", SECRET, "--study-name", "s"]
    train_with_password(flags, tmp_path, monkeypatch)
    assert pickled["storage"] == "postgresql://me@host/db"
    assert os.environ["PGPASSWORD"] == "TOPSECRET"  # read by the driver
    assert "--storage postgresql://me@host/db --study-name" in pickled["command"]


@pytest.mark.parametrize("algo", ["dqn", "fast_dqn"])
def test_optimize_rejects_n_step_buffer_with_its_own_gamma(
    algo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ExperimentManager, "hyperparameters_optimization", lambda self: None)
    config = f"sb3_atari_course.hyperparams.{algo}"
    buffer = "replay_buffer_kwargs:{'n_steps': 3, 'gamma': 0.99}"
    flags = ["--algo", algo, "--env", "BreakoutNoFrameskip-v4", "-conf", config, "-params", buffer]
    status = cli("train", *flags, "-optimize", "--seed", "1", "-f", str(tmp_path))
    assert status == (2 if algo == "dqn" else 0)
    assert ("n_steps: 3" in capsys.readouterr().err) == (algo == "dqn")
    assert (tmp_path / algo).exists() == (algo == "fast_dqn")


class FailAt(BaseCallback):
    """Callback that raises an unexpected ``KeyError``.

    :param step: number of the call.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        return bool({}[self.n_calls]) if self.n_calls == self.step else True


def test_unexpected_error_keeps_its_cause(tmp_path: Path) -> None:
    callback = "callback:[{'tests.zoo.test_experiment.FailAt': {'step': 1}}]"
    with pytest.raises(TrainingFailedError) as caught:
        cli(*TRAIN_CARTPOLE, "-f", str(tmp_path), "-n", "20", "-params", callback)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(("start", "learns"), [(99, True), (100, False)])
def test_warns_if_learning_starts_after_the_end(
    start: int, learns: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = [f"learning_starts:{start}", "train_freq:4", "gradient_steps:1", "buffer_size:200"]
    params.append("policy_kwargs:dict(net_arch=[4])")
    assert cli(*TRAIN_CARTPOLE, "-n", "100", "-f", str(tmp_path), "-params", *params) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    model = DQN.load(tmp_path / "dqn/CartPole-v1_1/CartPole-v1.zip")
    assert (model._n_updates > 0) == learns
    assert len(warnings) == (not learns)
    for line in warnings:
        assert "learning_starts:10" in line  # the remedy


@pytest.mark.parametrize(("n_steps", "start"), [(1, 0), (2, 1), (19, 1), (20, 2)])
def test_early_start_is_before_the_end(n_steps: int, start: int) -> None:
    assert experiment.early_start(n_steps) == start < n_steps


class Interrupt(BaseCallback):
    """Callback that sends SIGINT at the 30th step.

    :param times: number of signals; the second one stops immediately.
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
def test_resume_command_is_printed_once(
    times: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = f"callback:[{{'tests.zoo.test_experiment.Interrupt': {{'times': {times}}}}}]"
    params = ["learning_starts:10", "train_freq:4", "gradient_steps:1", callback]
    command = [*TRAIN_CARTPOLE, "--checkpoint-freq", "20", "-f", str(tmp_path), "-params", *params]
    assert cli(*command) == 130
    resume = f"python -m sb3_atari_course resume {tmp_path}/dqn/CartPole-v1_1"
    assert capsys.readouterr().out.count(resume) == 1
