"""The state of SB3's VecEnvWrappers: what belongs to the training, and what to each environment."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course.envs.state.env_layers import full_name
from sb3_atari_course.envs.state.fields import read_fields, write_fields
from sb3_atari_course.fast_dqn.overlap import WorkWhilePlaying

#: Fields that belong to the training: they outlive every episode.
_LASTING: dict[type, tuple[str, ...]] = {
    VecCheckNan: ("_user_warned",),
    VecExtractDictObs: (),
    VecFrameStack: (),
    VecMonitor: ("episode_count", "t_start"),
    VecNormalize: ("ret_rms.mean", "ret_rms.var", "ret_rms.count"),
    VecTransposeImage: (),
    WorkWhilePlaying: (),
}


def wrappers_of(venv: VecEnv) -> list[VecEnvWrapper]:
    """Return the wrappers around a VecEnv, the outermost first."""
    wrappers = []
    while isinstance(venv, VecEnvWrapper):
        wrappers.append(venv)
        venv = venv.venv
    return wrappers


def is_known(wrapper: VecEnvWrapper) -> bool:
    """Tell whether all of its state is saved here."""
    return type(wrapper) in _LASTING


def read_wrapper(wrapper: VecEnvWrapper) -> Tree:
    """Return the state of a known wrapper, of a foreign one its name only."""
    state: dict[str, Any] = {"wrapper": full_name(wrapper)}
    if is_known(wrapper):
        state["lasting"] = [read_fields(obj, names) for obj, names in _lasting(wrapper)]
        state["per_env"] = [copy.deepcopy(array) for _, _, array in _per_env(wrapper)]
    return state


def write_lasting(wrapper: VecEnvWrapper, state: Tree) -> None:
    """Put back what belongs to the training."""
    if is_known(wrapper):
        for (owner, names), fields in zip(_lasting(wrapper), state["lasting"], strict=True):
            write_fields(owner, names, fields)


def write_per_env(wrapper: VecEnvWrapper, state: Tree, rows: NDArray[np.bool_]) -> None:
    """Put back what belongs to some environments, and leave the others as they are.

    :param rows: (n_envs,), True for the environments that are restored.
    """
    if is_known(wrapper):
        for (owner, key, now), saved in zip(list(_per_env(wrapper)), state["per_env"], strict=True):
            _set(owner, key, _merged(now, saved, rows))


def _lasting(wrapper: VecEnvWrapper) -> Iterator[tuple[object, tuple[str, ...]]]:
    """Yield objects and the names of their fields."""
    yield wrapper, _LASTING[type(wrapper)]
    if isinstance(wrapper, VecNormalize) and wrapper.norm_obs:
        rms: Any = wrapper.obs_rms
        for statistics in rms.values() if isinstance(rms, dict) else [rms]:
            yield statistics, ("mean", "var", "count")


def _per_env(wrapper: VecEnvWrapper) -> Iterator[tuple[object, str, Any]]:
    """Yield objects, the name of a field, and what it holds: (n_envs, ...), a dict of it or None.

    None stands for what is not there before the first reset.
    """
    names: tuple[str, ...] = ()
    if isinstance(wrapper, VecFrameStack):
        for stack in _stacks(wrapper.stacked_obs):
            yield stack, "stacked_obs", stack.stacked_obs
    elif isinstance(wrapper, VecMonitor):
        names = ("episode_returns", "episode_lengths")
    elif isinstance(wrapper, VecNormalize):
        names = ("returns", "old_obs", "old_reward")
    for name in names:
        yield wrapper, name, vars(wrapper).get(name)


def _stacks(stack: Any) -> Iterator[StackedObservations[Any]]:
    """Yield the arrays' owners: one, or one for each part of a Dict of observations."""
    if hasattr(stack, "sub_stacked_observations"):
        for part in stack.sub_stacked_observations.values():
            yield from _stacks(part)
    else:
        yield stack


def _merged(now: Any, saved: Any, rows: NDArray[np.bool_]) -> Any:
    """Return what was saved in some rows, and what is there now in the others."""
    if rows.all() or now is None or saved is None:
        return copy.deepcopy(saved if rows.all() else now)
    if isinstance(saved, dict):
        return {key: _merged(now[key], saved[key], rows) for key in saved}
    if len(now) != len(saved):  # VecNormalize has no rewards before the first step
        return copy.deepcopy(saved)
    merged = now.copy()
    merged[rows] = saved[rows]
    return merged


def _set(owner: object, name: str, value: Any) -> None:
    if value is None:
        vars(owner).pop(name, None)
    else:
        setattr(owner, name, value)
