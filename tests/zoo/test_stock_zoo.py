"""Stock RL Zoo commands with our yml, wrappers and policies, in processes at toy size.

One training and its ``enjoy`` are quick tests; the others run in ``make test-all``.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.save_util import load_from_pkl

from sb3_atari_course import AtariCnnPolicy, AtariQuantileCnnPolicy, FrameReplayBuffer
from tests import naive
from tests.zoo.runs import N_STEPS, assert_learned, python_m, train, weights

GAME = "BreakoutNoFrameskip-v4"
CONF = ["-conf", "hyperparams/dqn.yml"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log folder with a toy training on Breakout with our yml."""
    folder = tmp_path_factory.mktemp("logs")
    train("--algo", "dqn", "--env", GAME, *CONF, "--save-replay-buffer", logs=folder)
    return folder


def monitor(run: Path) -> list[tuple[float, int]]:
    """Return (score, frames) of each game in a run's monitor file."""
    with open(run / "0.monitor.csv") as file:
        file.readline()
        return [(float(game["r"]), int(game["l"])) for game in csv.DictReader(file)]


def test_breakout_trains_with_our_yml(logs: Path) -> None:
    run = logs / f"dqn/{GAME}_1"
    model = DQN.load(run / f"{GAME}.zip", buffer_size=1)
    assert type(model.policy) is AtariCnnPolicy
    assert model.num_timesteps == N_STEPS
    assert_learned(model)
    evaluations = np.load(run / "evaluations.npz")
    assert evaluations["results"].shape == (1, 1)
    assert evaluations["ep_lengths"][0, 0] > 4 * 20  # frames of a whole game, not of a life


def replay_buffer(run: Path) -> FrameReplayBuffer:
    """Return the replay buffer that RL Zoo saved, checked."""
    buffer = load_from_pkl(run / "replay_buffer.pkl")
    assert isinstance(buffer, FrameReplayBuffer)
    assert buffer.compression == "lz4"
    buffer.check_valid()
    return buffer


def test_saved_replay_buffer_stores_each_frame_once(logs: Path) -> None:
    run = logs / f"dqn/{GAME}_1"
    assert replay_buffer(run).size() == N_STEPS
    assert (run / "replay_buffer.pkl").stat().st_size < N_STEPS * 84 * 84 / 3


@pytest.mark.process
def test_monitor_score_equals_that_of_a_bare_emulator(tmp_path: Path) -> None:
    """A wrapper below those of our yml records the action of each frame during training."""
    tape = tmp_path / "tape.txt"
    wrap = "{'sb3_atari_course.envs.wrap_atari': {'n_stack': 4, 'crop': [30, 195, 5, 155]}}"
    train(
        *("--algo", "dqn", "--env", GAME, *CONF, "--eval-freq", "-1"),
        logs=tmp_path,
        params=(f"env_wrapper:[{{'tests.fakes.ActionRecorder': {{'path': '{tape}'}}}}, {wrap}]",),
    )
    games = [[int(action) for action in game.split()] for game in tape.read_text().split("reset")]
    scores = monitor(tmp_path / f"dqn/{GAME}_1")
    assert len(scores) >= 1
    played = [game for game in games if game]
    for (score, n_frames), actions in zip(scores, played, strict=False):
        assert n_frames == len(actions)
        assert naive.replay("breakout", actions) == (score, True)


@pytest.mark.process
def test_breakout_deterministic_trains_with_gym_packages(tmp_path: Path) -> None:
    env_id = "BreakoutDeterministic-v4"
    register = ["--gym-packages", "sb3_atari_course.register"]
    train("--algo", "dqn", "--env", env_id, *CONF, *register, logs=tmp_path)
    model = DQN.load(tmp_path / f"dqn/{env_id}_1/{env_id}.zip", buffer_size=1)
    assert type(model.policy) is AtariCnnPolicy
    assert_learned(model)


@pytest.mark.services
@pytest.mark.process
def test_qrdqn_trains_on_pong(tmp_path: Path) -> None:
    env_id = "PongNoFrameskip-v4"
    train("--algo", "qrdqn", "--env", env_id, "-conf", "hyperparams/qrdqn.yml", logs=tmp_path)
    model = QRDQN.load(tmp_path / f"qrdqn/{env_id}_1/{env_id}.zip", buffer_size=1)
    assert type(model.policy) is AtariQuantileCnnPolicy
    assert_learned(model)


@pytest.mark.process
def test_v5_id_trains_with_frameskip_1(tmp_path: Path) -> None:
    env = ["--env", "ALE/Breakout-v5", "--env-kwargs", "frameskip:1"]
    train("--algo", "dqn", *env, *CONF, logs=tmp_path)
    model = DQN.load(tmp_path / "dqn/ALE-Breakout-v5_1/ALE-Breakout-v5.zip", buffer_size=1)
    assert type(model.policy) is AtariCnnPolicy
    assert_learned(model)


@pytest.mark.process
def test_rejects_env_that_skips_frames_itself(tmp_path: Path) -> None:
    arguments = ["--algo", "dqn", "--env", "ALE/Breakout-v5", *CONF, "-f", str(tmp_path)]
    printed = python_m("rl_zoo3.train", *arguments, status=1)
    assert "--env-kwargs frameskip:1" in printed  # the remedy


def test_enjoy_prints_the_score(logs: Path) -> None:
    arguments = ["--algo", "dqn", "--env", GAME, "-f", str(logs), "--no-render", "-n", "400"]
    printed = python_m("rl_zoo3.enjoy", *arguments, "--exp-id", "1")
    assert re.search(r"Atari Episode Score: \d+\.00", printed)


@pytest.mark.process
def test_record_video_writes_mp4(logs: Path) -> None:
    arguments = ["--algo", "dqn", "--env", GAME, "-f", str(logs), "-n", "30", "--exp-id", "1"]
    python_m("rl_zoo3.record_video", *arguments)
    (video,) = (logs / f"dqn/{GAME}_1/videos").glob("*.mp4")
    assert video.stat().st_size > 1000


@pytest.mark.process
def test_training_continues_with_saved_replay_buffer(logs: Path) -> None:
    first = logs / f"dqn/{GAME}_1/{GAME}.zip"
    flags = [*CONF, "-i", str(first), "--save-replay-buffer"]
    printed = train("--algo", "dqn", "--env", GAME, *flags, logs=logs)
    assert "Loading replay buffer" in printed
    buffer = replay_buffer(logs / f"dqn/{GAME}_2")
    assert buffer.full  # 300 transitions of both trainings
    assert buffer.pos == 2 * N_STEPS - 300
    second = logs / f"dqn/{GAME}_2/{GAME}.zip"
    before, after = weights(first), weights(second)
    assert before.keys() == after.keys()
    assert all((before[name] != after[name]).any() for name in before if "target" not in name)
    updates = [DQN.load(path, buffer_size=1)._n_updates for path in (first, second)]
    assert updates[1] > updates[0] > 0


@pytest.mark.services
@pytest.mark.process
def test_optimize_runs_trials(tmp_path: Path) -> None:
    """Sampled policy_kwargs replace the yml's; our network is the policy's default."""
    printed = python_m(
        "rl_zoo3.train",
        *("--algo", "dqn", "--env", GAME, *CONF, "-f", str(tmp_path), "--seed", "1"),
        *("-n", "120", "--num-threads", "1", "-optimize", "--n-trials", "2"),
        *("--n-evaluations", "1", "--eval-episodes", "1", "--no-optim-plots"),
        *("--sampler", "random", "--optimization-log-path", str(tmp_path / "trials")),
        *("-params", "learning_starts:110", "buffer_size:200"),
    )
    assert "Number of finished trials:  2" in printed
    assert "Best trial:" in printed
    model = DQN.load(tmp_path / "trials/trial_0/best_model.zip", buffer_size=1)
    assert type(model.policy) is AtariCnnPolicy
    assert "q_net.features_extractor.cnn.0.weight" in model.policy.state_dict()


@pytest.mark.process
def test_dotted_conf_works_from_any_folder(tmp_path: Path) -> None:
    conf = ["-conf", "sb3_atari_course.hyperparams.dqn"]
    train("--algo", "dqn", "--env", "CartPole-v1", *conf, logs=tmp_path, cwd=tmp_path)
    assert (tmp_path / "dqn/CartPole-v1_1/CartPole-v1.zip").is_file()
