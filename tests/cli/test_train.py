"""``train``: RL Zoo's with our flags, one clear line for what cannot be trained."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest
from rl_zoo3.exp_manager import ExperimentManager

from sb3_atari_course._common.errors import TrainingFailedError
from sb3_atari_course.cli import train
from sb3_atari_course.zoo.run_folder import read_yml
from tests.zoo.runs import cli

#: RL Zoo leaves monitor files open when it fails.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]
CARTPOLE = ["--algo", "dqn", "--env", "CartPole-v1"]
TABLE = ["train", "--algo", "q_learning", "--env"]
CROP = "[{'sb3_atari_course.envs.wrap_atari': {'crop': [0, 300, 0, 160]}}]"
TRAIN_CARTPOLE = ["train", *CARTPOLE, "--eval-freq", "-1", "--seed", "1"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--algo", "dqn", "--env", "Pendulum-v1", "-params", "env_wrapper:None"],
         "Pendulum-v1 has the actions Box(-2.0, 2.0, (1,), float32), but dqn chooses among"
         " discrete ones: add to its env_wrapper"),
        (["train", "--algo", "dqn", "--env", "BrekoutNoFrameskip-v4"],
         "unknown environment 'BrekoutNoFrameskip-v4'"),
        (["train", "--algo", "dqn", "--env", "ALE/Breakout-v5"], "--env-kwargs frameskip:1"),
        (["train", "--algo", "nonsense", "--env", GAME], "invalid choice: 'nonsense'"),
        (["train", *RUN, "-params", f"env_wrapper:{CROP}"],
         "crop (0, 300, 0, 160) leaves the screen of 210 rows and 160 columns"),
        (["train", *RUN, "-params", "env_wrapper:'sb3_atari_course.envs.wrap_atarii'"],
         "has no attribute 'wrap_atarii'"),
        (["train", *RUN, "-params", "policy:MlpPolicy"],
         "-params policy:MlpPolicy: NameError: name 'MlpPolicy' is not defined: write NAME:VALUE,"
         " strings in quotes (\"policy:'MlpPolicy'\")"),
        (["train", *RUN, "-params", "batch_size"], "-params batch_size: write NAME:VALUE"),
        (["train", *RUN, "-params", "learning_rate=0.1"], "-params learning_rate=0.1: write NAME"),
        (["train", *RUN, "-params", "learning_rat:1"], "did you mean learning_rate?"),
        (["train", *CARTPOLE, "-params", "n_envs:0"], "-params n_envs:0 has to be at least 1"),
        (["train", *CARTPOLE, "-params", "train_freq:0"], "-params train_freq:0 has to be at lea"),
        (["train", *CARTPOLE, "-params", "train_freq:(1, 'episode')", "n_envs:2"],
         "You must use only one env when doing episodic training"),
        (["train", *CARTPOLE, "-params", "policy_kwargs:{'optimizer_kwargs': 1}"],
         "policy_kwargs.optimizer_kwargs:1 has to be a mapping"),
        (["train", *CARTPOLE, "-params",
          "policy_kwargs:{'features_extractor_kwargs': {'dim': 3}}"], "'dim'"),
        (["train", "--algo", "ppo", *CARTPOLE[2:], "-params", "batch_size:1"], "`batch_size` must"),
        (["train", *CARTPOLE, "-params",
          "env_wrapper:'sb3_atari_course.wrappers.DiscretizeObservations'"], "'n_bins'"),
        (["train", *CARTPOLE, "--vec-env", "subproc", "-params",
          "env_wrapper:'sb3_atari_course.wrappers.DiscretizeObservations'"], "'n_bins'"),
        (["train", *CARTPOLE, "-conf", "no_length.yml"], "no_length.yml has no n_timesteps"),
        (["train", *CARTPOLE, "--env-kwargs", "gravity:1"], "--env-kwargs gravity:1 is not an arg"),
        (["train", *CARTPOLE, "--eval-env-kwargs", "gravity:1"], "--eval-env-kwargs gravity:1 is"),
        (["train", *CARTPOLE, "--env-kwargs", "max_episode_steps:0"], "'max_episode_steps': 0"),
        (["train", *RUN, "--env-kwargs", "mode:99"], "--env-kwargs {'mode': 99}: "),
        (["train", *CARTPOLE, "--gym-packages", "nowhere"], "--gym-packages nowhere: No module"),
        (["train", *CARTPOLE, "-i", "nowhere.zip"], "nowhere.zip: there is no such .zip file"),
        (["train", *CARTPOLE, "-f", "broken.yml"], "cannot write broken.yml/dqn/CartPole-v1_1"),
        (["train", *CARTPOLE, "-tb", "broken.yml"], "broken.yml/CartPole-v1"),
        (["train", *CARTPOLE, "--device", "banana"], "banana"),
        (["train", *RUN, "-conf", "nowhere.yml"], "nowhere.yml"),
        (["train", *RUN, "-conf", "broken.yml"], "broken.yml"),
        (["train", *RUN, "-conf", "default.yml"],
         "default.yml has no entry 'atari', and none for BreakoutNoFrameskip-v4: add one"),
        (["train", *RUN, "-params", "optimize_memory_usage:True"],
         "keeps every frame once already: leave out optimize_memory_usage"),
        (["train", *RUN, "-params", "replay_buffer_kwargs:{'compression': 'zip'}"],
         "compression must be None or 'lz4', got 'zip'"),
        (["train", *RUN, "-params", "replay_buffer_kwargs:{'n_steps': 3, 'gamma': 0.9}"],
         "-params replay_buffer_kwargs.gamma:0.9 is not the algorithm's gamma: 0.99"),
        (["train", *RUN, "-params", "replay_buffer_kwargs:{}", "buffer_size:100000000"],
         "the replay buffer needs 710.80 GB when it is full"),
        ([*TABLE, "Pendulum-v1"],
         "DiscretizeActions: {n_bins: 11}}, {sb3_atari_course.wrappers.DiscretizeObservations"),
        ([*TABLE, "Acrobot-v1"], "a table needs Discrete or MultiDiscrete observations, got Box"),
        ([*TABLE, GAME], "no table has a row for each screen, choose dqn or qrdqn"),
        ([*TABLE, "Taxi-v4", "-params", "learning_rate:2.0"],
         "learning_rate must lie in (0, 1], got 2"),
        ([*TABLE, "Taxi-v4", "-params", "learning_rate:'visit'"],
         "-params learning_rate:'visit' has to be a number or 'visits' or a schedule"),
        (["train", *CARTPOLE, "-params", "learning_rate:'1e-4'"], "write 0.0001"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:'lin_'"], "exploration:'lin_' has to be a nu"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:'lin_3'"],
         "exploration at progress_remaining 1 must be a probability from 0 to 1, got 3.0"),
        ([*TABLE, "Taxi-v4", "-params", "gamma:'x'"], "-params gamma:'x' has to be a number"),
        ([*TABLE, "Taxi-v4", "-params", "gamma:1.5"], "gamma:1.5 has to be at most 1"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:7"], "exploration must be a probability"),
        (["train", *CARTPOLE, "--nonsense"], "unrecognized arguments: --nonsense"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_argument_gives_one_clear_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.yml").write_text("a: [")
    Path("default.yml").write_text("default:\n  policy: MlpPolicy\n  n_timesteps: 10\n")
    Path("no_length.yml").write_text("CartPole-v1:\n  policy: MlpPolicy\n")
    before = sorted(Path().rglob("*"))
    assert cli(*arguments) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert "Traceback" not in printed
    assert sorted(Path().rglob("*")) == before  # nothing half-made is left


def test_a_training_that_fails_halfway_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(self: Any, model: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(ExperimentManager, "learn", full_disk)
    run = Path("logs/dqn/CartPole-v1_1")
    with pytest.raises(TrainingFailedError, match=f"{run} failed: No space left on device"):
        cli("train", *CARTPOLE, "-n", "10", "--eval-freq", "-1", "-f", "logs")
    assert (run / "CartPole-v1/config.yml").is_file()


def test_a_training_that_fails_at_its_start_leaves_what_was_there() -> None:
    Path("logs/dqn/CartPole-v1_1").mkdir(parents=True)
    Path("tb").mkdir()
    too_large = ("replay_buffer_kwargs:{}", "buffer_size:100000000")  # found at the first step
    assert cli("train", *RUN, "-n", "10", "--eval-freq", "-1", "-tb", "tb", "-params", *too_large)
    assert sorted(map(str, Path().rglob("*"))) == [
        *("logs", "logs/dqn", "logs/dqn/CartPole-v1_1", "tb"),
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

    class Spy(train.CourseExperimentManager):
        def __init__(self, args: argparse.Namespace, *others: Any, **kwargs: Any) -> None:
            seen.append(args)
            assert ExperimentManager.default_vec_env_cls is not None
            raise SystemExit

    monkeypatch.setattr(train, "CourseExperimentManager", Spy)
    monkeypatch.setattr(ExperimentManager, "default_vec_env_cls", None)
    monkeypatch.delitem(sys.modules, "sb3_atari_course.native_zoo", raising=False)
    assert cli(*TRAIN_CARTPOLE, "--vec-env=native", "--checkpoint-freq", "300") == 0
    assert (seen[0].vec_env, Spy.checkpoint_freq) == ("dummy", 300)
    assert "checkpoint_freq" not in vars(seen[0])  # args.yml has RL Zoo's own flags
