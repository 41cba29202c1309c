"""Frames that are stacked twice: by two wrappers, or by a wrapper and a yml."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecFrameStack

from sb3_atari_course._common.validation import callers

#: Colour frames in a usual stack (4) times their channels.
_MOST_CHANNELS = 12

#: Attributes in which wrappers of ours and of Gymnasium have the number of frames that they stack.
_STACKS = ("n_stack", "stack_size")


def warn_if_stacked_twice(env: gym.Env[Any, Any] | VecEnv | None) -> None:
    """Warn if frames that are stacked are stacked again, which shows n_stack * n_stack of them.

    Found are VecFrameStack, :class:`.FrameStack`, Gymnasium's FrameStackObservation and the stacks
    of :class:`.NativeAtariVecEnv`. The warning is shown once.

    :param env: an environment with all its wrappers; None for none yet.
    """
    stacks = [one for one in _stacks_of(env) if one[1] > 1]
    if len(stacks) > 1:
        inner_to_outer = " in ".join(f"{name} of {n_stack}" for name, n_stack in reversed(stacks))
        n_frames = math.prod(n_stack for _, n_stack in stacks)
        warnings.warn(
            f"frames are stacked twice: {inner_to_outer}, {n_frames} at once. Leave one out:"
            " make_atari_env (other than SB3's) and n_stack of wrap_atari stack already, without"
            " VecFrameStack, or frame_stack in a yml",
            stacklevel=1,  # this line, so that Python shows the same text once
        )


def warn_if_model_stacks_twice(what: str, n_channels: int) -> None:
    """Warn if frames are stacked twice in the environment of the model that is being built.

    Where no model with an environment is among the callers, more channels than a usual stack has
    are a warning.

    :param what: what gets the observations, for that message.
    :param n_channels: of the observations.
    """
    for model in callers(BaseAlgorithm):  # type: ignore[type-abstract]
        if model.env is not None:
            warn_if_stacked_twice(model.env)
            return
    warn_of_many_channels(what, n_channels)


def warn_of_many_channels(what: str, n_channels: int) -> None:
    """Warn of observations with more channels than a usual stack: it was perhaps stacked again.

    :param what: what gets them, for the message.
    """
    if n_channels > _MOST_CHANNELS:
        warnings.warn(
            f"{what} gets observations of {n_channels} channels, more than 4 colour frames"
            f" ({_MOST_CHANNELS}): were stacked frames stacked again? make_atari_env and n_stack of"
            " wrap_atari stack already: leave out VecFrameStack, or frame_stack in a yml",
            stacklevel=2,
        )


def _stacks_of(env: gym.Env[Any, Any] | VecEnv | None) -> Iterator[tuple[str, int]]:
    """Yield who stacks frames, and how many, the outermost first."""
    while isinstance(env, VecEnvWrapper):
        if isinstance(env, VecFrameStack):
            yield "VecFrameStack", env.stacked_obs.n_stack
        env = env.venv
    if isinstance(env, DummyVecEnv):
        env = env.envs[0]
    elif isinstance(env, VecEnv):  # native, or in other processes
        for attribute in filter(env.has_attr, _STACKS):
            yield type(env).__name__, env.get_attr(attribute, [0])[0]
    while isinstance(env, gym.Wrapper):
        for attribute in _STACKS:
            if attribute in vars(env):
                yield type(env).__name__, vars(env)[attribute]
        env = env.env
