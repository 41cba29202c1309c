"""Environments with known scores and lengths, and models that never train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_atari_course.wrappers import ActionRepeat, LifeLossTerminal
from tests.fakes import FakeGame


class ScoredGames(gym.Env[Any, Any]):
    """Games of one step; the score of game i is ``scores[i]``, cyclically."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores, self.n_games = scores, 0

    def reset(self, **kwargs: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=kwargs.get("seed"))
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        score = self.scores[self.n_games % len(self.scores)]
        self.n_games += 1
        return np.zeros(1, np.float32), score, True, False, {}


def repeated(ends_at: int, frame_skip: int = 2) -> gym.Env[Any, Any]:
    """Return a game of ``ends_at`` frames with a reward of 1 each, and Monitor inside."""
    return ActionRepeat(Monitor(FakeGame(ends_at=ends_at)), frame_skip=frame_skip)


def lives() -> gym.Env[Any, Any]:
    """Return a game of 6 frames and two lives, in which each life is an episode."""
    return LifeLossTerminal(Monitor(FakeGame(ends_at=6, lives=[2, 2, 2, 1, 1, 1, 0])))


def vec_env(*makers: Callable[[], gym.Env[Any, Any]] | partial[gym.Env[Any, Any]]) -> VecEnv:
    return DummyVecEnv(list(makers))


def player(env: VecEnv | gym.Env[Any, Any], **settings: Any) -> DQN:
    """Return a DQN that never updates its weights and stops after exactly the requested steps."""
    return DQN("MlpPolicy", env, buffer_size=100, learning_starts=10**6, train_freq=1, **settings)
