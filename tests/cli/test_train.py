"""Command ``train``: our flags, and one line for an invalid argument."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3 import PPO

from sb3_atari_course._common.errors import TrainingFailedError
from sb3_atari_course.cli import train
from sb3_atari_course.zoo.run_folder import read_yml
from tests.zoo.runs import cli

#: RL Zoo leaves monitor files open when it fails.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]
CARTPOLE = ["--algo", "dqn", "--env", "CartPole-v1"]
TABLE = ["--algo", "q_learning", "--env"]
WRAPPERS = "sb3_atari_course.wrappers"
CHECKPOINT = "sb3_atari_course.checkpoints.ExactCheckpoint"
CROP = "[{'sb3_atari_course.envs.wrap_atari': {'crop': [0, 300, 0, 160]}}]"
TRAIN_CARTPOLE = ["train", *CARTPOLE, "--eval-freq", "-1", "--seed", "1"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # missing files, modules, environments, devices
        (["--algo", "nonsense", "--env", GAME], "invalid choice: 'nonsense'"),
        (["--algo", "dqn", "--env", "BrekoutNoFrameskip-v4"], "unknown environment 'Brekout"),
        ([*CARTPOLE, "--nonsense"], "unrecognized arguments: --nonsense"),
        ([*CARTPOLE, "--gym-packages", "nowhere"], "--gym-packages nowhere: No module"),
        ([*CARTPOLE, "-i", "nowhere.zip"], "nowhere.zip: there is no such .zip file"),
        ([*CARTPOLE, "-i", "ppo.zip"], "ppo.zip: cannot be loaded as an agent of dqn"),
        ([*CARTPOLE, "-f", "broken.yml"], "broken.yml"),
        ([*CARTPOLE, "-tb", "broken.yml"], "broken.yml/CartPole-v1"),
        ([*CARTPOLE, "--device", "banana"], "banana"),
        ([*CARTPOLE, "--device", "cuda:x"], "cuda:x"),
        ([*CARTPOLE, "--device", "xpu:9"], "xpu:9"),
        ([*CARTPOLE, "-conf", "no_length.yml"], "no_length.yml has no n_timesteps"),
        ([*RUN, "-conf", "nowhere.yml"], "nowhere.yml"),
        ([*RUN, "-conf", "default.yml"], "default.yml has no entry for Breakout"),
        # hyperparameters, rejected by our check, RL Zoo, SB3, Gymnasium, our wrappers and classes
        ([*RUN, "-params", "policy:MlpPolicy"], "-params policy:MlpPolicy: NameError"),
        ([*RUN, "-params", "learning_rat:1"], "-params learning_rat:1 "),
        ([*CARTPOLE, "-params", "device:'cpu'"], "multiple values for keyword argument 'device'"),
        ([*CARTPOLE, "-params", "policy:'MlpPolic'"], "Policy MlpPolic unknown"),
        ([*CARTPOLE, "-params", "train_freq:(1, 'episode')", "n_envs:2"], "only one env"),
        ([*CARTPOLE, "-params", "policy_kwargs:{'features_extractor_kwargs': {'x': 3}}"], "'x'"),
        (["--algo", "ppo", *CARTPOLE[2:], "-params", "batch_size:1"], "`batch_size` must"),
        ([*CARTPOLE, "-params", "noise_type:'gauss'", "noise_std:0.1"], "noise"),
        ([*CARTPOLE, "-params", "monitor_kwargs:{'filename': 'a'}"], "'filename'"),
        ([*CARTPOLE, "-params", f"env_wrapper:'{WRAPPERS}.DiscretizeObservations'"], "'n_bins'"),
        ([*CARTPOLE, "-params", f"env_wrapper:[{{'{WRAPPERS}.ClipReward': None}}]"], "NoneType"),
        ([*CARTPOLE, "-params", f"env_wrapper:[{{'{WRAPPERS}.ClipReward': {{'max_pool': 'no'}}}}]"],
         "max_pool='no'"),
        ([*CARTPOLE, "-params", f"env_wrapper:[{{'{WRAPPERS}.ActionRepeat': {{'max_pool': 1}}}}]"],
         "max_pool must be True or False, got 1"),
        ([*CARTPOLE, "-params", f"callback:[{{'{CHECKPOINT}': {{'everyy': 4}}}}]"],
         "everyy=4: did you mean every?"),
        ([*CARTPOLE, "--vec-env", "subproc", "-params",
          f"env_wrapper:'{WRAPPERS}.DiscretizeObservations'"], "'n_bins'"),
        ([*CARTPOLE, "--env-kwargs", "gravity:1"], "env_kwargs {'gravity': 1}"),
        ([*CARTPOLE, "--eval-env-kwargs", "gravity:1"], "eval_env_kwargs {'gravity': 1}"),
        (["--algo", "dqn", "--env", "ALE/Breakout-v5"], "--env-kwargs frameskip:1"),
        ([*RUN, "-params", f"env_wrapper:{CROP}"],
         "crop (0, 300, 0, 160)"),
        ([*RUN, "-params", "optimize_memory_usage:True"], "optimize_memory_usage"),
        ([*RUN, "-params", "replay_buffer_kwargs:{'compression': 'zip'}"], "got 'zip'"),
        ([*RUN, "-params", "replay_buffer_kwargs:{}", "buffer_size:100000000"],
         "the replay buffer needs 710.80 GB when it is full"),
        ([*RUN, "-params", "replay_buffer_kwargs:{'storage_device': 'cuda:9'}"], "cuda:9"),
        (["--algo", "fast_dqn", *CARTPOLE[2:], "--device", "cuda:9"], "device='cuda:9'"),
        ([*CARTPOLE, "--vec-env", "native"], "is not an Atari game"),
        ([*RUN, "--vec-env", "native", "-params", "env_wrapper:'tests.fakes.ActionRecorder'"],
         "does not support the wrapper ActionRecorder"),
        # unsupported action and observation spaces
        (["--algo", "dqn", "--env", "Pendulum-v1", "-params", "env_wrapper:None"],
         "Box(-2.0, 2.0, (1,), float32)"),
        ([*TABLE, "Pendulum-v1"], "{sb3_atari_course.wrappers.DiscretizeObservations"),
        ([*TABLE, "Acrobot-v1"], "needs Discrete or MultiDiscrete observations, got Box"),
        ([*TABLE, GAME], "choose dqn or qrdqn"),
        ([*TABLE, "Taxi-v4", "-params", "learning_rate:2.0"], "must lie in (0, 1], got 2"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:'lin_3'"], "from 0 to 1, got 3.0"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)  # fmt: skip
def test_invalid_argument_prints_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.yml").write_text("a: [")
    Path("default.yml").write_text("default:\n  policy: MlpPolicy\n  n_timesteps: 10\n")
    Path("no_length.yml").write_text("CartPole-v1:\n  policy: MlpPolicy\n")
    if "ppo.zip" in arguments:
        PPO("MlpPolicy", "CartPole-v1", device="cpu").save("ppo.zip")
    before = sorted(Path().rglob("*"))
    assert cli("train", *arguments) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert "Traceback" not in printed
    assert sorted(Path().rglob("*")) == before  # no partial files are left


def test_failure_during_training_names_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(self: Any, model: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(ExperimentManager, "learn", full_disk)
    run = Path("logs/dqn/CartPole-v1_1")
    with pytest.raises(TrainingFailedError, match=f"{run} failed: No space left on device"):
        cli("train", *CARTPOLE, "-n", "10", "--eval-freq", "-1", "-f", "logs")
    assert (run / "CartPole-v1/config.yml").is_file()


def test_failure_at_the_start_leaves_no_files() -> None:
    Path("logs/dqn/CartPole-v1_1").mkdir(parents=True)
    Path("tb").mkdir()
    too_large = ("replay_buffer_kwargs:{}", "buffer_size:100000000")  # found at the first step
    assert cli("train", *RUN, "-n", "10", "--eval-freq", "-1", "-tb", "tb", "-params", *too_large)
    assert sorted(map(str, Path().rglob("*"))) == [
        *("logs", "logs/dqn", "logs/dqn/CartPole-v1_1", "tb"),
    ]


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        *(("-n", "0"), ("-n", "-2"), ("--log-interval", "-3"), ("--checkpoint-freq", "-5")),
        *(("--seed", "4294967296"), ("--n-eval-envs", "0"), ("--verbose", "-1")),
    ],
)
def test_rejects_numbers_out_of_range(
    flag: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(*TRAIN_CARTPOLE, "-f", str(tmp_path / "logs"), flag, value) == 2
    assert f"{flag} {value}" in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_parses_true_and_false(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``bool("no")``, as RL Zoo reads it, is true."""
    logs = ["-f", str(tmp_path), "-n", "10", "-params", "learning_starts:1"]
    assert cli(*TRAIN_CARTPOLE, *logs, "--truncate-last-trajectory", "no") == 2
    assert "got 'no'" in capsys.readouterr().err
    assert cli(*TRAIN_CARTPOLE, *logs, "--truncate-last-trajectory", "False") == 0
    arguments = read_yml(tmp_path / "dqn/CartPole-v1_1/CartPole-v1/args.yml")
    assert arguments["truncate_last_trajectory"] is False


def test_help_lists_each_flag_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("train", "--help") == 0
    printed = capsys.readouterr().out
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
