"""The games that a training has finished: whole ones, through all lives, with their true scores."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import AtariPreprocessing, NormalizeReward, TransformReward
from stable_baselines3.common.atari_wrappers import ClipRewardEnv, EpisodicLifeEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecMonitor,
    VecNormalize,
    unwrap_vec_wrapper,
)

from sb3_atari_course.envs.native import NativeAtariVecEnv
from sb3_atari_course.wrappers import ClipReward, LifeLossTerminal

#: Outside of Monitor only: what it counts would end at a lost life, or be clipped or scaled.
_INSIDE_IS_WRONG = (
    LifeLossTerminal,
    EpisodicLifeEnv,
    AtariPreprocessing,  # with terminal_on_life_loss
    ClipReward,
    ClipRewardEnv,
    TransformReward,  # Gymnasium's ClipReward is one
    NormalizeReward,
)


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
    running training, is not a whole one. Environments that are reset between two ``learn()``
    begin new games.
    """

    def __init__(self) -> None:
        self._env: VecEnv | None = None
        self._n_calls = 0  # agent steps of each environment
        self._seen: list[bool] = []
        self._begun_at: list[tuple[int, float]] = []  # step, time in seconds
        # after the last step: the training's steps, None if unknown; the time; the last resets
        self._last: tuple[int | None, float, list[Any]] = (None, 0.0, [])

    def begin(self, callback: BaseCallback) -> bool:
        """Begin, from ``_on_training_start``; tell whether the training counts from 0.

        If not, it goes on in the middle of its games.

        :raises ValueError: if no Monitor counts the whole, unclipped games; inside of a callback
            that does not call this one at each step.
        """
        refuse_in_event(callback)
        _check_monitor(callback.training_env)
        env, now = callback.training_env.unwrapped, time.perf_counter()
        anew: bool = callback.locals.get("reset_num_timesteps", True)
        last_step, last_time, resets = self._last
        n_missed = None if last_step is None else callback.num_timesteps - last_step
        if anew or env is not self._env or n_missed is None or n_missed < 0:
            self._seen = [anew or (self._env is not None and n_missed == 0)] * env.num_envs
            self._begun_at = [(self._n_calls, now)] * env.num_envs
        else:  # the same games go on where they were not reset
            self._n_calls += n_missed // env.num_envs
            is_reset = [
                info is not before for info, before in zip(env.reset_infos, resets, strict=True)
            ]
            self._begun_at = [(step, at + now - last_time) for step, at in self._begun_at]
            for i in np.flatnonzero(is_reset).tolist():
                self._seen[i] = n_missed == 0 and all(is_reset)  # else others have played
                self._begun_at[i] = (self._n_calls, now)
        self._env = env
        self._remember(callback)
        return anew

    def begin_again(self, envs: Iterable[int]) -> None:
        """Count from here in environments that have just begun a new game.

        :param envs: their numbers.
        """
        for i in envs:
            self._seen[i] = True
            self._begun_at[i] = (self._n_calls, time.perf_counter())

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
        self._last = (None, now, [])

    def is_at_start(self, env: int) -> bool:
        """Tell whether an environment shows the first screen of a game."""
        return self._seen[env] and self._begun_at[env][0] == self._n_calls

    def finished(self, callback: BaseCallback) -> list[Game]:
        """Return the games that the last step has finished; from ``_on_step``, each time.

        :raises ValueError: if a step was left out.
        """
        last, now_at = self._last[0], callback.num_timesteps
        if self._env is None or last not in (None, now_at - self._env.num_envs):
            raise ValueError(
                f"{type(callback).__name__} was called at step {now_at} after step {last}, but it"
                " has to see each step: pass it to learn() beside other callbacks, callback=[...],"
                " not inside of one"
            )
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
        self._remember(callback)
        return games

    def _remember(self, callback: BaseCallback) -> None:
        """Keep what shows at the next ``learn()`` whether the games have gone on without us."""
        assert self._env is not None
        self._last = (callback.num_timesteps, time.perf_counter(), list(self._env.reset_infos))


def refuse_in_event(callback: BaseCallback) -> None:
    """Refuse to stand inside of SB3's EveryNTimesteps, EvalCallback and other event callbacks.

    They call another callback now and then, and some neither at the start nor at the end.

    :raises ValueError: if it stands in one.
    """
    parent, callback.parent = callback.parent, None  # it may stand elsewhere the next time
    if parent is not None:
        raise ValueError(
            f"{type(callback).__name__} cannot stand inside of {type(parent).__name__}, which does"
            " not call it at each step: pass it to learn() beside the others, callback=[...]"
        )


@dataclass(frozen=True)
class _Around:
    """What ``env_is_wrapped`` looks for, in worker processes too: ``outer`` around ``inner``.

    :param inner: one of ``_INSIDE_IS_WRONG``.
    :param outer: who counts: Monitor, or any wrapper if VecMonitor stands around all of them.
    """

    inner: type
    outer: type

    def __instancecheck__(self, layer: Any) -> bool:
        if not isinstance(layer, self.outer):
            return False
        while isinstance(layer, gym.Wrapper):
            # the attribute is AtariPreprocessing's
            if isinstance(layer, self.inner) and getattr(layer, "terminal_on_life_loss", True):
                return True
            layer = layer.env
        return False


def _check_monitor(env: VecEnv) -> None:
    """Refuse environments in which nobody counts whole games."""
    outermost = unwrap_vec_wrapper(env, VecMonitor)
    if outermost is None and not all(env.env_is_wrapped(Monitor)):
        raise ValueError(
            "no Monitor counts the games: make the environments with make_atari_env or SB3's"
            " make_vec_env, or put Monitor around each game"
        )
    inside = _what_is_wrong_inside(env, outermost)
    if inside is not None:
        monitor, remedy = "Monitor", "SB3 puts one there if there is none:"
        if outermost is not None:
            monitor, remedy = "VecMonitor", "leave it out, and put a Monitor around each game:"
        raise ValueError(
            f"{monitor} stands outside of {inside}, so it does not count whole, unclipped games;"
            f" {remedy} wrap_atari(Monitor(gym.make(...))), or make_atari_env"
        )


def _what_is_wrong_inside(env: VecEnv, outermost: VecMonitor | None) -> str | None:
    """Return the name of what changes games or scores before they are counted, None if all is well.

    :param outermost: the VecMonitor around ``env``, None if each game has its Monitor.
    """
    games = env.unwrapped
    if isinstance(games, NativeAtariVecEnv):  # its own Monitor counts right
        changes = games.terminal_on_life_loss or games.clip_reward
        named = "NativeAtariVecEnv with terminal_on_life_loss or clip_reward"
        return named if outermost is not None and changes else None
    if outermost is not None:
        scaling = unwrap_vec_wrapper(outermost.venv, VecNormalize)
        if scaling is not None and scaling.norm_reward:
            return "VecNormalize"
    outer = Monitor if outermost is None else gym.Wrapper
    for inner in _INSIDE_IS_WRONG:
        if any(env.env_is_wrapped(_Around(inner, outer))):  # type: ignore[arg-type]
            return inner.__name__
    return None
