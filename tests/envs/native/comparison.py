"""Comparison of the native environment with the Python wrappers, on the same actions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecTransposeImage

from sb3_atari_course import wrap_atari
from sb3_atari_course.envs import make_game
from sb3_atari_course.wrappers import FrameStack

FIELD = (30, 195, 5, 155)
GAMES = ["Breakout", "Pong", "SpaceInvaders", "MsPacman", "Seaquest"]


class Pair(NamedTuple):
    """Results of one step on both sides."""

    native: Any
    python: Any


def python_side(
    game: str,
    n_envs: int,
    *,
    padding: Literal["repeat", "zero"] = "repeat",
    env_kwargs: dict[str, Any] | None = None,
    **wrapper_kwargs: Any,
) -> VecEnv:
    """Return games in ``wrap_atari`` with grayscale frames, without FIRE and no-ops."""

    def wrap(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        settings = {"noop_max": 0, "fire_on_reset": False, **wrapper_kwargs}
        return FrameStack(wrap_atari(env, **settings), n_stack=4, padding=padding)

    vec_env = make_vec_env(
        partial(make_game, f"{game}NoFrameskip-v4"),
        n_envs,
        seed=0,
        wrapper_class=wrap,
        env_kwargs={"obs_type": "grayscale", **(env_kwargs or {})},
    )
    return VecTransposeImage(vec_env)


def play_both(native: VecEnv, python: VecEnv, n_steps: int, seed: int = 0) -> Iterator[Pair]:
    """Play random actions natively, and the executed actions on the Python side."""
    rng = np.random.default_rng(seed)
    n_actions = int(native.action_space.n)  # type: ignore[attr-defined]
    for _ in range(n_steps):
        actions = rng.integers(n_actions, size=native.num_envs)
        native.step_async(actions)  # writes FIRE
        yield Pair(native.step_wait(), python.step(actions))


def assert_equal_steps(pair: Pair) -> NDArray[np.bool_]:
    """Assert that both sides returned the same, except for the last frame of a game that is over.

    :return: (n_envs,), which games are over.
    """
    obs, rewards, dones, infos = pair.native
    expected_obs, expected_rewards, expected_dones, expected_infos = pair.python
    np.testing.assert_array_equal(obs, expected_obs)
    np.testing.assert_array_equal(rewards, expected_rewards)
    assert rewards.dtype == expected_rewards.dtype
    np.testing.assert_array_equal(dones, expected_dones)
    over = np.zeros(len(infos), bool)
    for i, (info, expected) in enumerate(zip(infos, expected_infos, strict=True)):
        over[i] = "episode" in expected
        last, expected_last = (
            info.pop("terminal_observation", None),
            expected.pop("terminal_observation", None),
        )
        assert (last is None) == (expected_last is None)
        if last is not None:
            frames = slice(None, -1) if over[i] else slice(None)
            np.testing.assert_array_equal(last[frames], expected_last[frames])
        for episode in (info.get("episode", {}), expected.get("episode", {})):
            episode.pop("t", None)
        assert info == expected
    return over
