"""Options of native games: from a Gymnasium id to ale-py's arguments, from wrappers to settings."""

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

#: What options of :func:`gymnasium.make` may be that the native emulators cannot follow.
_CANNOT: dict[str, tuple[Any, ...]] = {
    "obs_type": (None, "grayscale"),
    "mode": (None,),
    "difficulty": (None,),
    "continuous": (None, False),
    "sound_obs": (None, False),
}

#: Options that mean something here.
OPTIONS = (
    "frameskip",
    "full_action_space",
    "max_episode_steps",
    "max_num_frames_per_episode",
    "repeat_action_probability",
)

#: Those that an id may have, and that change nothing or are refused.
UNLISTED = ("game", "continuous_action_threshold", *_CANNOT)

#: Longest game if there is no limit, in frames.
_NO_LIMIT = 2**31 - 1


class Start(NamedTuple):
    """A game before its first agent step."""

    #: (rows, columns) of the screen; some have 250 rows, most 210
    screen: tuple[int, int]
    #: frames that the emulator plays during a reset, 0 in most games
    n_frames: int
    #: (most no-ops + 1,) int64, the score after so many no-ops, 0 in most games
    noop_scores: NDArray[np.int64]


@dataclass(frozen=True)
class Emulators:
    """What every emulator does, whatever their number.

    :param arguments: of ale-py's AtariVectorEnv: the game, limits, sticky actions.
    :param n_held: frames for which an agent step holds its action.
    :param n_counted: frames that count as one in a game's length: 1, or what the id itself skips,
        as SB3's Monitor inside the wrappers counts steps of the id.
    :param n_noops: most no-ops at the start of a game, in frames.
    """

    arguments: dict[str, Any]
    n_held: int
    n_counted: int
    n_noops: int


@functools.cache  # loading a game takes a fifth of a second
def start_of(rom: str, n_noops: int) -> Start:
    """Return what a game is before its first agent step, whatever its seed.

    :param rom: ale-py's name of the game.
    :param n_noops: most no-ops, in frames.

    Sticky actions change nothing: the first action repeated would be a no-op too.
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
    """Return what the emulators of a Gymnasium id are asked for.

    :param env_id: an id of an Atari game.
    :param frame_skip: frames per agent step; 1 for an id that skips by itself.
    :param max_pool: take the maximum of the last two frames of a step.
    :param noop_max: most no-ops, in steps of the id (frames, if it does not skip by itself).
    :param options: as for :func:`gymnasium.make`; they win over those of the id.
    :raises ValueError: for an unknown id, another environment than an Atari game, a value that the
        native emulators cannot follow, skipping twice.
    :raises TypeError: for a flag that is not a bool.
    """
    spec = find_spec(env_id)
    if not is_atari(env_id):
        raise ValueError(not_atari(env_id))
    asked = {**spec.kwargs, **options}
    for name, allowed in _CANNOT.items():
        if asked.get(name) not in allowed:
            raise ValueError(
                f"{env_id} with {name}={asked[name]!r}: the native emulators show grey frames"
                " without sound and play discrete actions in the default mode and the default"
                f" difficulty; leave {name} out, or take the Python environments (native=False,"
                " --vec-env dummy)"
            )
    own_skip = asked.get("frameskip", 4)
    frame_skip = integer_at_least(1, "frame_skip", frame_skip)
    if isinstance(own_skip, (tuple, list)):
        raise ValueError(
            f"{env_id} skips {own_skip} frames, a random number, which the native emulators cannot"
            " do: pass frameskip=1, or take a NoFrameskip-v4 id"
        )
    own_skip = integer_at_least(1, "frameskip", own_skip)
    if own_skip > 1 and frame_skip > 1:
        raise ValueError(
            f"{env_id} plays {own_skip} frames a step already, so frame_skip={frame_skip} would"
            " skip twice: pass frameskip=1 (or a NoFrameskip-v4 id; in RL Zoo --env-kwargs"
            " frameskip:1), or frame_skip=1"
        )
    n_held = own_skip * frame_skip
    n_noops = integer_at_least(0, "noop_max", noop_max) * own_skip
    sticky = asked.get("repeat_action_probability", 0)
    arguments = {
        "game": asked["game"],
        "frameskip": n_held,
        "maxpool": boolean("max_pool", max_pool) and frame_skip > 1,
        "noop_max": n_noops + 1 if n_noops else 0,  # ale-py draws 0 to noop_max - 1 of them
        "repeat_action_probability": probability("repeat_action_probability", sticky),
        "max_num_frames_per_episode": _max_frames(spec, asked, own_skip),
        "full_action_space": boolean("full_action_space", asked.get("full_action_space", False)),
    }
    return Emulators(arguments, n_held=n_held, n_counted=own_skip, n_noops=n_noops)


def usable_threads(n_threads: int | None, n_envs: int) -> int:
    """Return how many threads play: at most one a core and one a game.

    :param n_threads: how many are asked for, None for as many as are of use.
    :raises ValueError: if it is below 1.
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    n_cores = n_cores or 1
    if n_threads is None:
        n_threads = n_cores
    return min(integer_at_least(1, "n_threads", n_threads), n_envs, n_cores)


def _max_frames(spec: EnvSpec, asked: dict[str, Any], own_skip: int) -> int:
    """Return the longest game in frames; ``max_episode_steps`` counts steps of the id."""
    limits = [_NO_LIMIT]
    frames = asked.get("max_num_frames_per_episode")
    if frames:  # 0 means no limit in ale-py
        limits.append(integer_at_least(1, "max_num_frames_per_episode", frames))
    steps = asked.get("max_episode_steps", spec.max_episode_steps)
    if steps is not None and steps != -1:  # -1 means no limit in Gymnasium
        limits.append(integer_at_least(1, "max_episode_steps", steps) * own_skip)
    return min(limits)


#: Arguments of NativeAtariVecEnv.
Settings = dict[str, Any]


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


#: Wrappers that the native environment can stand for -> its arguments; in the order in which they
#: must stand, the innermost first. Gymnasium's, ours, and SB3's (RL Zoo's own dqn.yml has them).
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
    ((sb3.AtariWrapper,), lambda env: {}),  # all of SB3's, which stand inside
]
_PLACES = {
    class_name(cls): (place, arguments)
    for place, (classes, arguments) in enumerate(_IN_ORDER)
    for cls in classes
}

#: Without any wrapper.
_BARE: Settings = {
    "noop_max": 0,
    "frame_skip": 1,
    "terminal_on_life_loss": False,
    "fire": False,
    "clip_reward": False,
    "n_stack": 1,
}


def settings_of(env: gym.Env[Any, Any]) -> Settings:
    """Return arguments of NativeAtariVecEnv that do what the wrappers of a game do.

    :raises ValueError: for a wrapper that has no counterpart, or stands in another place.
    """
    settings = dict(_BARE)
    outer, outer_place, layer = "the agent", len(_IN_ORDER), env
    while isinstance(layer, gym.Wrapper):
        name = type(layer).__name__
        if class_name(type(layer)) not in _PLACES:
            raise ValueError(
                f"the wrapper {name} has no counterpart in NativeAtariVecEnv: leave it out of"
                " env_wrapper, or take --vec-env dummy"
            )
        place, arguments = _PLACES[class_name(type(layer))]
        if place >= outer_place:
            raise ValueError(
                f"{name} stands inside {outer}, which NativeAtariVecEnv cannot do: keep the order"
                " of wrap_atari, or take --vec-env dummy"
            )
        settings.update(arguments(layer))
        outer, outer_place, layer = name, place, layer.env
    if "shape" not in settings:
        raise ValueError(
            "NativeAtariVecEnv shows small grey frames: add wrap_atari (or CropGrayResize) to"
            " env_wrapper, or take --vec-env dummy"
        )
    return settings
