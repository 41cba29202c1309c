"""The state of one environment with all its wrappers, exactly, as plain data.

A wrapper or environment of yours joins with two methods::

    def checkpoint_state(self): ...           # returns plain data, see tree.py
    def restore_checkpoint_state(self, state): ...

They tell of that layer alone; the layers inside it, its action space and the random stream of an
environment (``np_random``) are saved for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course._common.state_tree import NotPlainError, Tree, pack
from sb3_atari_course.envs.state.emulator_state import (
    is_atari_env,
    read_emulator,
    write_emulator,
)
from sb3_atari_course.envs.state.env_layers import FIELDS, full_name
from sb3_atari_course.envs.state.errors import EnvStateError, UnsavableEnvError
from sb3_atari_course.envs.state.fields import read_fields, write_fields
from sb3_atari_course.envs.state.random_streams import read_generator, write_generator
from sb3_atari_course.envs.state.spaces_state import read_space, write_space

__all__ = ["EnvStateError", "UnsavableEnvError", "monitor_file", "read_env", "write_env"]

Env = gym.Env[Any, Any]

#: Stands around an environment only to call this module, and is no layer of it.
_SAVABLE = "sb3_atari_course.envs.state.savable.SavableEnv"


def read_env(env: Env) -> Tree:
    """Return the state of all layers, the outermost first.

    :raises UnsavableEnvError: if one of them is not known here, or holds what is no plain data.
    """
    for layer in _layers(env):
        _refuse_unknown(layer)
    return [_read_layer(layer) for layer in _layers(env)]


def write_env(env: Env, state: Tree) -> None:
    """Put a state into an environment that was made in the same way; it may have played or not.

    :raises EnvStateError: if its layers are others than those saved; it is then as it was.
    """
    layers = list(_layers(env))
    names, saved = [full_name(layer) for layer in layers], [part["layer"] for part in state]
    if names != saved:
        raise EnvStateError(
            f"the state is one of {' < '.join(saved)}, and the environment is"
            f" {' < '.join(names)}: make it as it was made when it was saved"
        )
    for layer, part in zip(layers, state, strict=True):
        _write_layer(layer, part)


def monitor_file(env: Env) -> str | None:
    """Return the path of the file that SB3's Monitor writes, None for none."""
    for layer in _layers(env):
        if isinstance(layer, Monitor) and layer.results_writer is not None:
            return str(layer.results_writer.file_handler.name)
    return None


def _layers(env: Env) -> Iterator[Env]:
    """Yield the layers, the outermost first and the environment itself last."""
    while isinstance(env, gym.Wrapper):
        if full_name(env) != _SAVABLE:
            yield env
        env = env.env
    yield env


def _refuse_unknown(layer: Env) -> None:
    name = full_name(layer)
    if not _saves_itself(layer) and name not in FIELDS:
        raise UnsavableEnvError(
            f"nobody knows which state {name} has, which a class tells by checkpoint_state() and"
            " restore_checkpoint_state(state)"
        )


def _saves_itself(layer: Env) -> bool:
    cls = type(layer)
    return hasattr(cls, "checkpoint_state") and hasattr(cls, "restore_checkpoint_state")


def _read_layer(layer: Env) -> Tree:
    own: Any = layer
    part: dict[str, Any] = {"layer": full_name(layer)}
    if _saves_itself(layer):
        part["own"] = own.checkpoint_state()
    else:
        part["fields"] = read_fields(layer, FIELDS[full_name(layer)])
        if isinstance(layer, Monitor):  # a number for each frame of the episode
            part["fields"]["rewards"] = np.array(layer.rewards, np.float64)
    space = _own_space(layer)
    if space is not None:
        part["action_space"] = read_space(space)
    if not isinstance(layer, gym.Wrapper):
        stream = layer._np_random
        part["np_random"] = None if stream is None else read_generator(stream)
        part["np_random_seed"] = layer._np_random_seed
    if is_atari_env(layer):
        part["emulator"] = read_emulator(own)
    _refuse_what_is_not_plain(part)
    return part


def _write_layer(layer: Env, part: Tree) -> None:
    own: Any = layer
    if _saves_itself(layer):
        own.restore_checkpoint_state(part["own"])
    else:
        write_fields(layer, FIELDS[full_name(layer)], part["fields"])
        if isinstance(layer, Monitor):
            layer.rewards = part["fields"]["rewards"].tolist()
            if layer.results_writer is not None:  # its file was cut back, perhaps while it is open
                layer.results_writer.file_handler.seek(0, os.SEEK_END)
    space = _own_space(layer)
    if space is not None:
        write_space(space, part["action_space"])
    if not isinstance(layer, gym.Wrapper):
        if part["np_random"] is None:
            layer._np_random = None
        else:
            write_generator(layer.np_random, part["np_random"])
        layer._np_random_seed = part["np_random_seed"]
    if is_atari_env(layer):
        write_emulator(own, part["emulator"])


def _own_space(layer: Env) -> gym.Space[Any] | None:
    """Return the action space that a layer made itself, None for one that it hands on."""
    return layer._action_space if isinstance(layer, gym.Wrapper) else layer.action_space


def _refuse_what_is_not_plain(part: Tree) -> None:
    try:
        pack(part)
    except NotPlainError as error:
        raise UnsavableEnvError(
            f"the state of {part['layer']} is no plain data ({error}): give it the methods"
            " checkpoint_state() and restore_checkpoint_state(state), or leave it out"
        ) from None
