"""From the wrappers that a yml puts around a game to a native environment that does the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from stable_baselines3.common import atari_wrappers as sb3
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course import wrappers as ours
from sb3_atari_course.envs.ids import is_atari, not_atari
from sb3_atari_course.envs.native.native_vec_env import NativeAtariVecEnv

Settings = dict[str, Any]


class Known(NamedTuple):
    """A wrapper that the native environment can stand for."""

    #: wrappers must stand in the order of these, innermost first
    place: int
    #: its settings, as arguments of NativeAtariVecEnv
    settings: Callable[[Any], Settings]


#: Wrappers of Gymnasium, ours, and SB3's (which RL Zoo's own dqn.yml puts around a game).
_KNOWN: dict[type, Known] = {
    PassiveEnvChecker: Known(0, lambda env: {}),
    OrderEnforcing: Known(1, lambda env: {}),
    Monitor: Known(3, lambda env: _monitor_settings(env)),
    ours.NoopReset: Known(4, lambda env: {"noop_max": env.noop_max}),
    sb3.NoopResetEnv: Known(4, lambda env: {"noop_max": env.noop_max}),
    ours.ActionRepeat: Known(
        5, lambda env: {"frame_skip": env.frame_skip, "max_pool": env.max_pool}
    ),
    sb3.MaxAndSkipEnv: Known(5, lambda env: {"frame_skip": env._skip}),
    ours.LifeLossTerminal: Known(6, lambda env: {"terminal_on_life_loss": True}),
    sb3.EpisodicLifeEnv: Known(6, lambda env: {"terminal_on_life_loss": True}),
    ours.FireOnReset: Known(7, lambda env: {"fire": True}),
    sb3.FireResetEnv: Known(7, lambda env: {"fire": True}),
    ours.CropGrayResize: Known(8, lambda env: {"crop": env.crop, "shape": env.shape}),
    sb3.WarpFrame: Known(8, lambda env: {"shape": (env.height, env.width)}),
    ours.ClipReward: Known(9, lambda env: {"clip_reward": True}),
    sb3.ClipRewardEnv: Known(9, lambda env: {"clip_reward": True}),
    ours.FrameStack: Known(10, lambda env: {"n_stack": env.n_stack, "padding": env.padding}),
    sb3.AtariWrapper: Known(11, lambda env: {}),  # all of SB3's, which stand inside
}

#: Gymnasium's, and the one that importing RL Zoo puts in its place, at whatever time.
_TIME_LIMITS = ("TimeLimit", "PatchedTimeLimit")
_TIME_LIMIT = Known(2, lambda env: {"max_episode_steps": env._max_episode_steps})

#: Without any wrapper.
_BARE: Settings = {
    "noop_max": 0,
    "frame_skip": 1,
    "terminal_on_life_loss": False,
    "fire": False,
    "clip_reward": False,
    "n_stack": 1,
}


def native_from_wrappers(
    env_fns: list[Callable[[], gym.Env[Any, Any]]], **kwargs: Any
) -> NativeAtariVecEnv:
    """Make a native environment of what SB3's ``make_vec_env`` would make others of.

    The first environment is made, read and closed; the others are taken to be like it.

    :param env_fns: one function a game, which makes it with all its wrappers.
    :param kwargs: for :class:`NativeAtariVecEnv`, e.g. ``n_threads``.
    :raises ValueError: for another environment than an Atari game, a wrapper that is not known
        here, wrappers in another order than that of ``wrap_atari``.
    """
    env = env_fns[0]()
    try:
        spec = env.unwrapped.spec
        if spec is None or not is_atari(spec.id):
            raise ValueError(f"{not_atari(spec.id if spec else str(env))} (--vec-env dummy)")
        settings = {**spec.kwargs, **settings_of(env), **kwargs}
    finally:
        env.close()
    return NativeAtariVecEnv(spec.id, len(env_fns), **settings)


def settings_of(env: gym.Env[Any, Any]) -> Settings:
    """Return arguments of NativeAtariVecEnv that do what the wrappers of a game do.

    :raises ValueError: for a wrapper that is not known here, or in another place.
    """
    settings = dict(_BARE)
    outer, layer = "the agent", env
    place = max(known.place for known in _KNOWN.values()) + 1
    while isinstance(layer, gym.Wrapper):
        name, known = type(layer).__name__, _known(layer)
        if known is None:
            raise ValueError(
                f"the wrapper {name} has no counterpart in NativeAtariVecEnv: leave it out of"
                " env_wrapper, or take --vec-env dummy"
            )
        if known.place >= place:
            raise ValueError(
                f"{name} stands inside {outer}, which NativeAtariVecEnv cannot do: keep the order"
                " of wrap_atari, or take --vec-env dummy"
            )
        settings.update(known.settings(layer))
        place, outer, layer = known.place, name, layer.env
    if "shape" not in settings:
        raise ValueError(
            "NativeAtariVecEnv shows small grey pictures: add wrap_atari (or CropGrayResize) to"
            " env_wrapper, or take --vec-env dummy"
        )
    return settings


def _known(layer: gym.Wrapper[Any, Any, Any, Any]) -> Known | None:
    """Return what is known of a wrapper, None for a foreign one."""
    if type(layer).__name__ in _TIME_LIMITS:
        return _TIME_LIMIT
    return _KNOWN.get(type(layer))


def _monitor_settings(monitor: Monitor[Any, Any]) -> Settings:
    """Return where Monitor writes; its other options have no counterpart."""
    if monitor.info_keywords or monitor.reset_keywords:
        keywords = (*monitor.reset_keywords, *monitor.info_keywords)
        raise ValueError(
            f"NativeAtariVecEnv knows r, l and t of an episode only, got {keywords} in"
            " monitor_kwargs: leave them out, or take --vec-env dummy"
        )
    if monitor.results_writer is None:
        return {}
    file = monitor.results_writer.file_handler
    return {"monitor_dir": os.path.dirname(file.name), "monitor_append": "a" in file.mode}
