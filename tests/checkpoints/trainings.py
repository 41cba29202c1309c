"""Small trainings of all algorithms, interrupted and uninterrupted, for the checkpoint tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.run_differences import other_numbers, weights_and_optimizer
from sb3_atari_course import (
    AtariCnnPolicy,
    AtariQuantileCnnPolicy,
    ExactCheckpoint,
    FastDQN,
    FrameReplayBuffer,
    QLearning,
    make_atari_env,
)

GAME = "BreakoutNoFrameskip-v4"
#: Agent steps: of a training, between two checkpoints, and until it is interrupted.
STEPS, EVERY, INTERRUPT_AT = 400, 90, 300


class InterruptError(Exception):
    """Ends a training early, like an error in a user's callback."""


class Interrupt(BaseCallback):
    """Raises :class:`InterruptError` at a given step."""

    is_stateless = True

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.step:
            raise InterruptError
        return True


def breakout(folder: Path | None, n_envs: int = 1, **kwargs: Any) -> VecEnv:
    """Return Breakout with small frames and short games."""
    settings: dict[str, Any] = {
        "seed": 5,
        "env_kwargs": {"max_num_frames_per_episode": 260},
        "wrapper_kwargs": {"shape": (36, 36), "noop_max": 10},
        "monitor_dir": None if folder is None else str(folder),
    }
    return make_atari_env(GAME, n_envs, **{**settings, **kwargs})


def deep(algorithm: type[BaseAlgorithm], env: VecEnv, **kwargs: Any) -> BaseAlgorithm:
    """Return a deep RL agent with a small network and ``learning_starts=40``."""
    policy: Any = AtariQuantileCnnPolicy if algorithm is QRDQN else AtariCnnPolicy
    settings: dict[str, Any] = {
        "policy_kwargs": {
            "features_extractor_kwargs": {"layers": ((4, 8, 4), (4, 3, 2)), "features_dim": 16}
        },
        "replay_buffer_class": FrameReplayBuffer,
        "replay_buffer_kwargs": {"compression": "lz4", "n_steps": 2},
        "buffer_size": 150,
        "learning_starts": 40,
        "batch_size": 8,
        "train_freq": 2,
        "target_update_interval": 60,
        "exploration_fraction": 0.8,
        "seed": 3,
        "device": "cpu",
    }
    return algorithm(policy, env, **{**settings, **kwargs})  # type: ignore[call-arg]


def tabular(env: VecEnv) -> BaseAlgorithm:
    """Return a tabular Q-learning agent."""
    return QLearning("QTablePolicy", env, exploration=0.3, learning_rate="visits", seed=3)


def build(kind: str, folder: Path, *, again: bool = False) -> BaseAlgorithm:
    """Return a model of one of the four algorithms.

    :param again: continue its Monitor files, with other environment seeds.
    """
    monitor = {"monitor_dir": str(folder), "monitor_kwargs": {"override_existing": not again}}
    seed = 99 if again else 4
    if kind == "QLearning":
        return tabular(make_vec_env("Taxi-v4", 2, seed=seed, **monitor))
    algorithms: dict[str, Any] = {"DQN": DQN, "QRDQN": QRDQN, "FastDQN": FastDQN}
    return deep(algorithms[kind], breakout(folder, seed=seed, **monitor))


def other_callbacks(kind: str, folder: Path) -> list[BaseCallback]:
    """Return an evaluation callback whose environment is kept between evaluations."""
    env: Any = breakout(None, seed=8) if kind != "QLearning" else make_vec_env("Taxi-v4", seed=8)
    return [
        EvalCallback(
            env,
            n_eval_episodes=1,
            eval_freq=120,
            log_path=str(folder),
            best_model_save_path=str(folder),
            deterministic=kind == "QLearning",
            verbose=0,
        )
    ]


def train(kind: str, folder: Path, *, interrupt_at: int | None = None, steps: int = STEPS) -> None:
    """Train until interrupted, or to the end with a single checkpoint there."""
    model = build(kind, folder)
    callbacks = [
        *other_callbacks(kind, folder),
        ExactCheckpoint(EVERY if interrupt_at else 10 * steps, folder=folder),
    ]
    interrupts = [Interrupt(interrupt_at)] if interrupt_at else []
    assert model.env is not None
    try:
        model.learn(steps, callback=[*callbacks, *interrupts], log_interval=1)
        assert interrupt_at is None, "the training should have been interrupted"
    except InterruptError:
        pass
    finally:
        model.env.close()


def assert_same_end(a: Path, b: Path) -> None:
    """Assert that two trainings ended bit-identically."""
    for read in (weights_and_optimizer, other_numbers):
        ones, others = read(a), read(b)
        assert list(ones) == list(others)
        for place, one in ones.items():
            assert np.array_equal(one, others[place], equal_nan=False), place
