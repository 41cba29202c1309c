"""FastDQN runs of our launcher: RL Zoo's commands and flags, our yml, native environments."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch as th
from stable_baselines3 import DQN

from sb3_atari_course import FastDQN, FrameReplayBuffer
from tests.zoo.runs import TOY, TOY_PARAMS, assert_learned, printed_by

#: RL Zoo leaves monitor files open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "fast_dqn", "--env", GAME]
PLAIN = ["-params", *TOY_PARAMS, "compile:False"]  # compiling takes longer than a toy training


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log folder with a toy training on native environments, started elsewhere."""
    folder = tmp_path_factory.mktemp("logs")
    native = ["--vec-env", "native", "--seed", "1", "--log-interval", "1"]
    printed_by("train", *RUN, *native, *TOY, *PLAIN, cwd=folder)
    return folder / "logs"


def test_train_uses_our_yml_and_updates_weights(logs: Path) -> None:
    path = logs / "fast_dqn/BreakoutNoFrameskip-v4_1/BreakoutNoFrameskip-v4.zip"
    model = FastDQN.load(path, device="cpu")
    assert_learned(model)
    assert isinstance(model.replay_buffer, FrameReplayBuffer)
    assert model.n_envs == 8
    assert model._n_updates == 2 * (240 - 104) // 8 + 2  # from step 104 on
    with open(path.parent / "progress.csv") as file:
        rows = list(csv.DictReader(file))
    assert th.isfinite(th.tensor(float(rows[-1]["train/loss"])))
    theirs = DQN.load(path, device="cpu")
    for our, their in zip(model.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert th.equal(our, their)


def test_enjoy_and_evaluate_load_the_model(logs: Path) -> None:
    printed = printed_by(*("enjoy", *RUN, "--no-render", "-n", "20"), cwd=logs.parent)
    assert "Loading logs/fast_dqn/BreakoutNoFrameskip-v4_1" in printed
    printed = printed_by(*("evaluate", *RUN, "-n", "1", "--max-frames", "400"), cwd=logs.parent)
    assert "random play" in printed
    assert "screens grayscale" in printed  # as in native training


@pytest.mark.slow
def test_optimize_samples_fast_dqn_hyperparameters(tmp_path: Path) -> None:
    printed = printed_by(
        *("train", "--algo", "fast_dqn", "--env", "CartPole-v1"),
        *("-optimize", "--n-trials", "2", "--n-jobs", "1", "--n-startup-trials", "0"),
        *("--n-evaluations", "1", "--eval-episodes", "1", "-n", "1200", "--num-threads", "1"),
        *("-f", str(tmp_path), "--seed", "0", "--no-optim-plots"),
    )
    assert "steps_and_updates" in printed
    assert "double_q" in printed


def test_ppo_rejects_native_envs_with_fire_on_reset(tmp_path: Path) -> None:
    """RL Zoo's ppo.yml uses FIRE on reset; with ``fire_on_reset: false`` it trains."""
    ppo = ["train", "--algo", "ppo", "--env", "BreakoutNoFrameskip-v4"]
    ppo += ["--vec-env", "native", "-f", str(tmp_path), "-n", "64", "--eval-freq", "-1"]
    printed = printed_by(*ppo, status=2)
    assert "error: ppo" in printed
    assert "fire_on_reset: false" in printed  # the remedy
    conf = tmp_path / "ppo.yml"
    conf.write_text(
        "atari:\n  policy: CnnPolicy\n  n_timesteps: 64\n  n_steps: 16\n  batch_size: 16\n"
        "  n_epochs: 1\n  n_envs: 2\n  env_wrapper:\n"
        "    - sb3_atari_course.envs.wrap_atari: {fire_on_reset: false, n_stack: 4}\n"
    )
    assert "Saving to" in printed_by(*ppo, "-conf", str(conf), "--num-threads", "1")
