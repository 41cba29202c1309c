"""The games that a training has finished: whole ones, through all lives, with their true scores."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import gymnasium as gym
from stable_baselines3.common.atari_wrappers import ClipRewardEnv, EpisodicLifeEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, is_vecenv_wrapped

from sb3_atari_course.wrappers import ClipReward, LifeLossTerminal

#: Outside of Monitor only: what it counts would end at a lost life, or be clipped.
_INSIDE_IS_WRONG = (LifeLossTerminal, EpisodicLifeEnv, ClipReward, ClipRewardEnv)


class Game(NamedTuple):
    """A whole game that was played in a training.

    :param env: number of its environment, from 0.
    :param score: true score, the sum of unclipped rewards.
    :param n_steps: its length in agent steps (FIRE and no-ops inside a reset are none).
    :param seconds: how long it took, training included.
    """

    env: int
    score: float
    n_steps: int
    seconds: float


class WholeGames:
    """Counts the games of a training along, for a callback that owns it.

    SB3's Monitor says when a game is over and its score; its length is one in emulator frames, so
    agent steps are counted here. A game whose beginning was not seen, because the callback joined a
    training that goes on, is no whole one.
    """

    def __init__(self) -> None:
        self._env: VecEnv | None = None
        self._n_calls = 0  # agent steps of each environment
        self._seen: list[bool] = []
        self._begun_at: list[tuple[int, float]] = []  # step, time in seconds

    def begin(self, callback: BaseCallback) -> bool:
        """Begin, from ``_on_training_start``; tell whether the training counts from 0.

        If not, it goes on in the middle of its games.

        :raises ValueError: if no Monitor counts the whole, unclipped games.
        """
        env = callback.training_env.unwrapped
        anew: bool = callback.locals.get("reset_num_timesteps", True)
        if anew or env is not self._env:  # else the same games go on
            _check_monitor(callback.training_env)
            self._seen = [anew or self._env is not None] * env.num_envs
            self._begun_at = [(self._n_calls, time.perf_counter())] * env.num_envs
            self._env = env
        return anew

    def checkpoint_state(self) -> Any:
        """Return the games that are being played, times as seconds since their beginnings."""
        now = time.perf_counter()
        begun_at = [(step, now - at) for step, at in self._begun_at]
        return {"n_calls": self._n_calls, "seen": self._seen, "begun_at": begun_at}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on in the middle of these games."""
        now = time.perf_counter()
        self._n_calls, self._seen = state["n_calls"], list(state["seen"])
        self._begun_at = [(step, now - seconds) for step, seconds in state["begun_at"]]

    def is_at_start(self, env: int) -> bool:
        """Tell whether an environment shows the first screen of a game."""
        return self._seen[env] and self._begun_at[env][0] == self._n_calls

    def finished(self, callback: BaseCallback) -> list[Game]:
        """Return the games that the last step has finished; from ``_on_step``, each time."""
        self._n_calls += 1
        games = []
        for i, info in enumerate(callback.locals["infos"]):
            if "episode" not in info:
                continue
            step, at = self._begun_at[i]
            now = time.perf_counter()
            if self._seen[i]:
                score = float(info["episode"]["r"])
                games.append(Game(i, score, self._n_calls - step, now - at))
            self._seen[i] = True
            self._begun_at[i] = (self._n_calls, now)
        return games


def _check_monitor(env: VecEnv) -> None:
    """Refuse environments in which nobody counts whole games."""
    if is_vecenv_wrapped(env, VecMonitor):
        return
    if not all(env.env_is_wrapped(Monitor)):
        raise ValueError(
            "no Monitor counts the games: make the environments with make_atari_env or SB3's"
            " make_vec_env, or put Monitor around each game"
        )
    for layer in getattr(env.unwrapped, "envs", []):
        _check_order(layer)


def _check_order(env: gym.Env[Any, Any]) -> None:
    """Refuse a Monitor that stands outside of what changes games or scores."""
    is_inside = False
    while isinstance(env, gym.Wrapper):
        if is_inside and isinstance(env, _INSIDE_IS_WRONG):
            raise ValueError(
                f"Monitor stands outside of {type(env).__name__}, so it counts no whole, unclipped"
                " games; SB3 puts one there if there is none: wrap_atari(Monitor(gym.make(...))),"
                " or make_atari_env"
            )
        is_inside = is_inside or isinstance(env, Monitor)
        env = env.env
