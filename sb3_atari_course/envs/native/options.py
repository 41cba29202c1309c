"""Options of native environments: from a Gymnasium id, or from a chain of wrappers."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import ale_py
import ale_py.roms
import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import NDArray
from stable_baselines3.common import atari_wrappers as sb3
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course import wrappers as ours
from sb3_atari_course._common.validation import boolean, integer_at_least, probability
from sb3_atari_course.envs.env_state import class_name
from sb3_atari_course.envs.ids import find_spec, is_atari, not_atari

#: Options of :func:`gymnasium.make` that ale-py's vector environment lacks -> values accepted.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "obs_type": (None, "grayscale"),
    "mode": (None,),
    "difficulty": (None,),
    "continuous": (None, False),
    "sound_obs": (None, False),
}

#: Supported options.
OPTIONS = (
    "frameskip",
    "full_action_space",
    "max_episode_steps",
    "max_num_frames_per_episode",
    "repeat_action_probability",
)

#: Further options of an id, which have no effect or are rejected.
UNLISTED = ("game", "continuous_action_threshold", *_UNSUPPORTED)

#: Frame limit that stands for no limit.
_NO_LIMIT = 2**31 - 1


class Start(NamedTuple):
    """Properties of a game before the first agent step."""

    #: (rows, columns) of the emulator's frame; mostly 210 rows, at most 250
    screen: tuple[int, int]
    #: frames that the emulator plays during a reset, 0 in most games
    n_frames: int
    #: (maximum of no-ops + 1,) int64, score by the number of no-ops played, 0 in most games
    noop_scores: NDArray[np.int64]


@dataclass(frozen=True)
class Emulators:
    """Settings of ale-py's emulators.

    :param arguments: of ale-py's AtariVectorEnv: the game, limits, sticky actions.
    :param frame_skip: frames per agent step.
    :param frames_counted: frames that count as one in a game's length: 1, or the id's own frame
        skip, because SB3's Monitor inside the wrappers counts steps of the id.
    :param n_noops: maximum number of no-ops at the start of a game, in frames.
    """

    arguments: dict[str, Any]
    frame_skip: int
    frames_counted: int
    n_noops: int


@functools.cache  # loading a game takes a fifth of a second
def start_of(rom: str, n_noops: int) -> Start:
    """Return the properties of a game before the first agent step, for any seed.

    Sticky actions have no effect on them: the first repeated action would be a no-op too.

    :param rom: ale-py's name of the game.
    :param n_noops: maximum number of no-ops, in frames.
    """
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # as ale-py's own envs do
    emulator = ale_py.ALEInterface()
    path: Any = ale_py.roms.get_rom_path(rom)
    emulator.loadROM(path)
    emulator.reset_game()
    height, width = emulator.getScreenDims()
    n_frames, scores = emulator.getEpisodeFrameNumber(), [0]
    for _ in range(n_noops):
        scores.append(scores[-1] + int(emulator.act(ale_py.Action.NOOP)))
    return Start((int(height), int(width)), int(n_frames), np.array(scores, np.int64))


def find_emulators(
    env_id: str, *, frame_skip: int, max_pool: bool, noop_max: int, options: dict[str, Any]
) -> Emulators:
    """Return the settings of ale-py's emulators for a Gymnasium id.

    :param env_id: an id of an Atari game.
    :param frame_skip: frames per agent step; 1 for an id that skips frames itself.
    :param max_pool: take the maximum of the last two frames of a step.
    :param noop_max: maximum number of no-ops, in steps of the id.
    :param options: as for :func:`gymnasium.make`; they override those of the id.
    :raises ValueError: for an unknown id, an environment that is not an Atari game, a value that
        ale-py's vector environment does not support, and for skipping frames twice.
    :raises TypeError: for a value of the wrong type.
    """
    spec = find_spec(env_id)
    if not is_atari(env_id):
        raise ValueError(not_atari(env_id))
    kwargs = {**spec.kwargs, **options}
    for name, allowed in _UNSUPPORTED.items():
        if kwargs.get(name) not in allowed:
            raise ValueError(
                f"{env_id} with {name}={kwargs[name]!r} is not supported natively (only grayscale"
                " frames, no sound, discrete actions, default mode and difficulty): remove"
                f" {name}, or use Python environments (native=False, --vec-env dummy)"
            )
    own_skip = kwargs.get("frameskip", 4)
    frame_skip = integer_at_least(1, "frame_skip", frame_skip)
    if isinstance(own_skip, (tuple, list)):
        raise ValueError(
            f"{env_id} skips a random number of frames, {own_skip}, which is not supported"
            " natively: pass frameskip=1, or use a NoFrameskip-v4 id"
        )
    own_skip = integer_at_least(1, "frameskip", own_skip)
    if own_skip > 1 and frame_skip > 1:
        raise ValueError(
            f"{env_id} already plays {own_skip} frames per step, so frame_skip={frame_skip} would"
            " skip twice: pass frameskip=1 (or a NoFrameskip-v4 id; in RL Zoo --env-kwargs"
            " frameskip:1), or frame_skip=1"
        )
    n_noops = integer_at_least(0, "noop_max", noop_max) * own_skip
    sticky = kwargs.get("repeat_action_probability", 0)
    arguments = {
        "game": kwargs["game"],
        "frameskip": own_skip * frame_skip,
        "maxpool": boolean("max_pool", max_pool) and frame_skip > 1,
        "noop_max": n_noops + 1 if n_noops else 0,  # ale-py plays 0 to noop_max - 1
        "repeat_action_probability": probability("repeat_action_probability", sticky),
        "max_num_frames_per_episode": _max_frames(spec, kwargs, own_skip),
        "full_action_space": boolean("full_action_space", kwargs.get("full_action_space", False)),
    }
    return Emulators(
        arguments, frame_skip=own_skip * frame_skip, frames_counted=own_skip, n_noops=n_noops
    )


def usable_threads(n_threads: int | None, n_envs: int) -> int:
    """Return the number of emulator threads to use, at most one per core and one per game.

    :param n_threads: requested number; None for the maximum.
    :raises ValueError: if ``n_threads`` is below 1.
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    n_cores = n_cores or 1
    if n_threads is None:
        n_threads = n_cores
    return min(integer_at_least(1, "n_threads", n_threads), n_envs, n_cores)


def _max_frames(spec: EnvSpec, kwargs: dict[str, Any], own_skip: int) -> int:
    """Return the frame limit of a game; ``max_episode_steps`` counts steps of the id."""
    limits = [_NO_LIMIT]
    frames = kwargs.get("max_num_frames_per_episode")
    if frames:  # 0 means no limit in ale-py
        limits.append(integer_at_least(1, "max_num_frames_per_episode", frames))
    steps = kwargs.get("max_episode_steps", spec.max_episode_steps)
    if steps is not None and steps != -1:  # -1 means no limit in Gymnasium
        limits.append(integer_at_least(1, "max_episode_steps", steps) * own_skip)
    return min(limits)


#: Keyword arguments of NativeAtariVecEnv.
Settings = dict[str, Any]


def _monitor_settings(monitor: Monitor[Any, Any]) -> Settings:
    """Return the arguments for Monitor's files; its other options are not supported."""
    if monitor.info_keywords or monitor.reset_keywords:
        keywords = (*monitor.reset_keywords, *monitor.info_keywords)
        raise ValueError(
            f"NativeAtariVecEnv records only r, l and t of an episode, got {keywords} in"
            " monitor_kwargs: remove them, or use --vec-env dummy"
        )
    if monitor.results_writer is None:
        return {}
    file = monitor.results_writer.file_handler
    return {"monitor_dir": os.path.dirname(file.name), "monitor_append": "a" in file.mode}


#: Supported wrappers (Gymnasium's, ours, and SB3's, which RL Zoo's dqn.yml uses) and the arguments
#: that they translate to; in the required order, innermost first.
_IN_ORDER: list[tuple[tuple[type, ...], Callable[[Any], Settings]]] = [
    ((PassiveEnvChecker,), lambda env: {}),
    ((OrderEnforcing,), lambda env: {}),
    ((TimeLimit,), lambda env: {"max_episode_steps": env._max_episode_steps}),
    ((Monitor,), _monitor_settings),
    ((ours.NoopReset, sb3.NoopResetEnv), lambda env: {"noop_max": env.noop_max}),
    ((ours.ActionRepeat,), lambda env: {"frame_skip": env.frame_skip, "max_pool": env.max_pool}),
    ((sb3.MaxAndSkipEnv,), lambda env: {"frame_skip": env._skip}),
    (
        (ours.LifeLossTerminal, sb3.EpisodicLifeEnv),
        lambda env: {"terminal_on_life_loss": True},
    ),
    ((ours.FireOnReset, sb3.FireResetEnv), lambda env: {"fire": True}),
    ((ours.CropGrayResize,), lambda env: {"crop": env.crop, "shape": env.shape}),
    ((sb3.WarpFrame,), lambda env: {"shape": (env.height, env.width)}),
    ((ours.ClipReward, sb3.ClipRewardEnv), lambda env: {"clip_reward": True}),
    ((ours.FrameStack,), lambda env: {"n_stack": env.n_stack, "padding": env.padding}),
    ((sb3.AtariWrapper,), lambda env: {}),  # consists of SB3's others
]
_PLACES = {
    class_name(cls): (place, arguments)
    for place, (classes, arguments) in enumerate(_IN_ORDER)
    for cls in classes
}

#: Arguments without any wrapper.
_BARE: Settings = {
    "noop_max": 0,
    "frame_skip": 1,
    "terminal_on_life_loss": False,
    "fire": False,
    "clip_reward": False,
    "n_stack": 1,
}


def settings_of(env: gym.Env[Any, Any]) -> Settings:
    """Return the arguments of NativeAtariVecEnv that are equivalent to the wrappers of a game.

    :raises ValueError: for a wrapper that is not supported, or not in the order of ``wrap_atari``.
    """
    settings = dict(_BARE)
    outer, outer_place, layer = "the agent", len(_IN_ORDER), env
    while isinstance(layer, gym.Wrapper):
        name = type(layer).__name__
        if class_name(type(layer)) not in _PLACES:
            raise ValueError(
                f"NativeAtariVecEnv does not support the wrapper {name}: remove it from"
                " env_wrapper, or use --vec-env dummy"
            )
        place, arguments = _PLACES[class_name(type(layer))]
        if place >= outer_place:
            raise ValueError(
                f"NativeAtariVecEnv does not support {name} inside {outer}: use the order of"
                " wrap_atari, or --vec-env dummy"
            )
        settings.update(arguments(layer))
        outer, outer_place, layer = name, place, layer.env
    if "shape" not in settings:
        raise ValueError(
            "NativeAtariVecEnv returns resized grayscale frames: add wrap_atari (or CropGrayResize)"
            " to env_wrapper, or use --vec-env dummy"
        )
    return settings
