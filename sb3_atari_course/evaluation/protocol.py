"""Protocol of an evaluation, read from the environment that is played, with all its wrappers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import AtariPreprocessing, StickyAction
from stable_baselines3.common.atari_wrappers import NoopResetEnv, StickyActionEnv

from sb3_atari_course.envs import is_atari
from sb3_atari_course.evaluation.score_keeper import Referee
from sb3_atari_course.wrappers import NoopReset
from sb3_atari_course.wrappers.timing import frames_per_step

#: Arguments of :func:`gymnasium.make` that say nothing about the rules, or are found in the limits.
_NOT_RULES = ("render_mode", "max_episode_steps")


def protocol_of(
    env: gym.Env[Any, Any], referee: Referee, env_kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return how an environment is played, name -> value, ready for JSON.

    :param env: with all wrappers.
    :param referee: inside.
    :param env_kwargs: with which it was made.
    :raises ValueError: for sticky actions at two places, or repeated for several steps.
    """
    spec = referee.unwrapped.spec
    if spec is None or not is_atari(spec.id):
        protocol = {**_limits(env, referee, "steps"), **_sticky_actions(env)}
        rules = {key: value for key, value in env_kwargs.items() if key not in _NOT_RULES}
        return protocol | ({"env_kwargs": _plain(rules)} if rules else {})
    emulator: Any = referee.unwrapped
    return {
        **_limits(env, referee, "frames"),
        "frames_per_step": frames_per_step(env),
        "noop_max_frames": find_noops(env) or 0,
        "sticky_actions": 0.0,
        **_sticky_actions(env),
        "mode": _or_default(emulator._game_mode),
        "difficulty": _or_default(emulator._game_difficulty),
        "full_action_space": bool(spec.kwargs.get("full_action_space", False)),
        "screens": emulator._obs_type,
        "whole_games": True,
        "clipped": False,
    }


def layers(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """Yield the wrappers of an environment from the outside, then the environment itself."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def find_noops(env: gym.Env[Any, Any], outside: gym.Env[Any, Any] | None = None) -> int | None:
    """Return the most no-ops that the wrappers play at a reset, in frames.

    :param outside: look at the wrappers outside of this one only.
    :return: None if no wrapper plays any.
    """
    found = []
    for layer in layers(env):
        if layer is outside:
            break
        if isinstance(layer, (NoopReset, NoopResetEnv, AtariPreprocessing)):
            fixed = getattr(layer, "override_num_noops", None)  # SB3's: always so many
            n_noops = layer.noop_max if fixed is None else fixed
            found.append(n_noops * frames_per_step(layer.env))
    return sum(found) if found else None


def _limits(env: gym.Env[Any, Any], referee: Referee, unit: str) -> dict[str, Any]:
    """Return the cap of a game: the lowest of the referee's and the time limits that it sees.

    ``time_limit`` is there for a limit outside: it does not see the frames that a reset plays, and
    starts over at each.
    """
    cap, outside = referee.max_frames, {}
    is_inside = False
    for layer in layers(env):
        is_inside = is_inside or layer is referee
        steps = vars(layer).get("_max_episode_steps")  # of Gymnasium's TimeLimit, or RL Zoo's
        if steps is None:
            continue
        n_frames = frames_per_step(layer)
        if is_inside or unit == "steps":
            cap = min(cap, steps * n_frames)
        else:
            outside = {"time_limit": f"{steps} steps of {n_frames} frames from each reset"}
    return {f"max_{unit}": cap, **outside}


def _sticky_actions(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """Return the probability of repeating the last action, nothing if there is none.

    ``sticky_frames`` is there if a wrapper repeats it for more than one frame at a time.
    """
    found = []
    for layer in layers(env):
        if isinstance(layer, StickyAction):
            if layer.repeat_action_duration_range != (1, 1):
                raise ValueError(
                    "StickyAction with a repeat_action_duration of"
                    f" {layer.repeat_action_duration_range} steps: scores are comparable for 1 only"
                )
            found.append((float(layer.repeat_action_probability), frames_per_step(layer.env)))
        elif isinstance(layer, StickyActionEnv):
            found.append((float(layer.action_repeat_probability), frames_per_step(layer.env)))
    emulator = getattr(env.unwrapped, "ale", None)
    if emulator is not None:
        found.append((round(emulator.getFloat("repeat_action_probability"), 6), 1))
    found = [(chance, n_frames) for chance, n_frames in found if chance > 0]
    if len(found) > 1:
        raise ValueError(
            f"actions are sticky twice, with the probabilities {[chance for chance, _ in found]}:"
            " leave out sticky_actions=, or the wrapper that repeats actions"
        )
    if not found:
        return {}
    ((chance, n_frames),) = found
    return {"sticky_actions": chance} | ({"sticky_frames": n_frames} if n_frames > 1 else {})


def _or_default(value: int | None) -> int | str:
    return "default" if value is None else int(value)


def _plain(value: Any) -> Any:
    """Return a value of ``env_kwargs`` as JSON can hold it, other objects as their ``repr``."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
