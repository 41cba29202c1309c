"""Tests of FrameReplayBuffer in SB3's algorithms: training equals that with SB3's buffer."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.envs import make_atari_env, make_game, wrap_atari
from sb3_atari_course.replay import FrameReplayBuffer
from tests.replay.test_frame_replay_buffer import assert_equal_batches, sample

SMALL = {"shape": (42, 42)}
NETWORK = {"features_extractor_kwargs": {"features_dim": 16}}


def make_env(n_envs: int, game: str = "BreakoutNoFrameskip-v4") -> VecEnv:
    return make_atari_env(game, n_envs, seed=3, wrapper_kwargs=SMALL)


def make_model(gamma: float, /, **replay_buffer_kwargs: Any) -> DQN:
    """Return a small DQN with a FrameReplayBuffer."""
    return DQN(
        "CnnPolicy",
        make_env(1),
        gamma=gamma,
        buffer_size=50,
        learning_starts=20,
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs=replay_buffer_kwargs,
    )


def learn(algorithm: Any, buffer_class: Any, n_envs: int, **kwargs: Any) -> Any:
    model = algorithm(
        "CnnPolicy",
        make_env(n_envs),
        policy_kwargs=NETWORK,
        buffer_size=90,
        learning_starts=60,
        batch_size=8,
        train_freq=4,
        target_update_interval=40,
        replay_buffer_class=buffer_class,
        seed=0,
        device="cpu",
        **kwargs,
    )
    return model.learn(200)


@pytest.mark.parametrize(
    ("algorithm", "n_steps", "compression"),
    [
        (DQN, 1, None),
        (DQN, 3, "lz4"),
        pytest.param(QRDQN, 1, "lz4", marks=pytest.mark.slow),
        pytest.param(QRDQN, 3, None, marks=pytest.mark.slow),
    ],
)
def test_training_gives_the_same_weights_as_with_sb3s_buffer(
    algorithm: Any, n_steps: int, compression: Any
) -> None:
    n_envs = 1 if algorithm is DQN else 3
    discounts = {"n_steps": n_steps, "gamma": 0.99} if n_steps > 1 else {}
    theirs = learn(
        algorithm,
        NStepReplayBuffer if n_steps > 1 else ReplayBuffer,
        n_envs,
        replay_buffer_kwargs=discounts,
    )
    ours = learn(
        algorithm,
        FrameReplayBuffer,
        n_envs,
        replay_buffer_kwargs={**discounts, "compression": compression},
    )
    assert ours._n_updates == theirs._n_updates > 10
    for our, their in zip(
        ours.policy.state_dict().values(), theirs.policy.state_dict().values(), strict=True
    ):
        assert th.equal(our, their)
    ours.replay_buffer.check_valid()


@pytest.mark.parametrize(
    ("game", "stack"), [("BreakoutNoFrameskip-v4", "ours"), ("MsPacmanNoFrameskip-v4", "SB3's")]
)
def test_batches_of_games_equal_sb3(game: str, stack: str) -> None:
    """Transitions come from SB3's rollout collection, including terminal observations."""
    if stack == "ours":
        env = make_env(2, game)
    else:  # zero-padded stacks
        wrap: Any = lambda: wrap_atari(make_game(game), shape=(42, 42))  # noqa: E731
        env = VecTransposeImage(VecFrameStack(DummyVecEnv([wrap] * 2), 4))
        env.seed(3)
    settings = (400, env.observation_space, env.action_space, "cpu", 2)
    theirs: dict[int, Any] = {1: ReplayBuffer(*settings)}
    theirs |= {n_steps: NStepReplayBuffer(*settings, n_steps=n_steps) for n_steps in (3, 5)}
    ours = [
        FrameReplayBuffer(*settings, n_steps=n_steps, compression=compression)
        for n_steps in theirs
        for compression in (None, "lz4")
    ]
    model = DQN("CnnPolicy", env, buffer_size=10, learning_starts=10**6, seed=1)
    model.replay_buffer = SeveralBuffers([*theirs.values(), *ours])  # type: ignore[assignment]
    model.learn(1000)
    assert theirs[1].full
    assert theirs[1].dones.any()
    for buffer in ours:
        buffer.check_valid()
        for seed in range(5):
            expected = sample(theirs[buffer.n_steps], 64, seed)
            assert_equal_batches(sample(buffer, 64, seed), expected)


class SeveralBuffers:
    """Replay buffer that adds transitions to several others."""

    optimize_memory_usage, full, pos = False, False, 0

    def __init__(self, buffers: list[Any]) -> None:
        self.buffers = buffers

    def add(self, *args: Any) -> None:
        for buffer in self.buffers:
            buffer.add(*args)


def test_normalized_rewards_equal_sb3() -> None:
    results = []
    for buffer_class in (ReplayBuffer, FrameReplayBuffer):
        env = VecNormalize(make_env(1), norm_obs=False)
        model = DQN(
            "CnnPolicy",
            env,
            policy_kwargs=NETWORK,
            buffer_size=90,
            learning_starts=60,
            replay_buffer_class=buffer_class,
            seed=0,
        )
        model.learn(150)
        results.append(sample_normalized(model, env))
    assert_equal_batches(results[1], results[0])


def sample_normalized(model: DQN, env: VecNormalize) -> Any:
    np.random.seed(0)  # noqa: NPY002
    assert model.replay_buffer is not None
    return model.replay_buffer.sample(30, env=env)


def test_sampling_n_step_returns_requires_gamma(tmp_path: Path) -> None:
    """Agents saved by earlier versions have ``gamma: None``, which then meant the model's."""
    model = make_model(0.95, n_steps=3, gamma=None).learn(16)
    model.save(tmp_path / "model")
    loaded = DQN.load(tmp_path / "model", env=make_env(1))
    loaded.replay_buffer = pickle.loads(pickle.dumps(model.replay_buffer))
    assert isinstance(loaded.replay_buffer, FrameReplayBuffer)
    assert loaded.replay_buffer.size() == 16
    with pytest.raises(SettingError, match=r"gamma is None.* n_steps=3"):
        loaded.learn(30)
    loaded.replay_buffer.gamma = 0.9
    discounts = loaded.replay_buffer.sample(50).discounts
    assert discounts is not None
    assert discounts.min() == np.float32(0.9) ** 3
    one_step = make_model(0.95, gamma=None).learn(30).replay_buffer
    assert one_step is not None
    assert one_step.sample(5).discounts is None


def test_saved_model_continues_with_its_saved_replay_buffer(tmp_path: Path) -> None:
    """With SB3's ``save_replay_buffer`` and ``load_replay_buffer``."""
    model = learn(DQN, FrameReplayBuffer, 1, replay_buffer_kwargs={"compression": "lz4"})
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    assert (tmp_path / "buffer.pkl").stat().st_size < 90 * 42 * 42 / 3
    loaded = DQN.load(tmp_path / "model", env=make_env(1))
    assert loaded.replay_buffer is not None
    assert loaded.replay_buffer.size() == 0
    loaded.load_replay_buffer(tmp_path / "buffer")
    assert_equal_batches(sample(loaded.replay_buffer, 40, 0), sample(model.replay_buffer, 40, 0))
    loaded.learn(50, reset_num_timesteps=False)
    assert isinstance(loaded.replay_buffer, FrameReplayBuffer)
    loaded.replay_buffer.check_valid()


def test_loading_a_model_needs_neither_memory_nor_gpu(tmp_path: Path) -> None:
    """For example to evaluate an agent that was trained on a larger machine."""
    model = DQN(
        "CnnPolicy",
        make_env(1),
        policy_kwargs=NETWORK,
        buffer_size=10_000_000,  # 18 GB of frames
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"storage_device": "cuda"},
    )
    model.save(tmp_path / "model")
    loaded = DQN.load(tmp_path / "model", env=make_env(1), device="cpu")
    loaded.predict(loaded.get_env().reset())  # type: ignore[union-attr]
    assert isinstance(loaded.replay_buffer, FrameReplayBuffer)
    assert loaded.replay_buffer.buffer_size == 10_000_000
    assert loaded.replay_buffer.stacks.table.store.n_bytes == 0
    if not th.cuda.is_available():
        with pytest.raises(ValueError, match="storage_device='cuda'"):
            loaded.learn(10)
