"""Exact state of an environment with all its wrappers, as plain data.

To make your own wrapper or environment savable, list the attributes that change during an episode::

    checkpoint_fields = ("n_steps",)          # of this class; a subclass lists its own

or, where copying attributes is not enough, implement two methods::

    def checkpoint_state(self): ...           # returns plain data, see _common/state_tree.py
    def restore_checkpoint_state(self, state): ...

They cover this layer only; inner layers, the action space and the random generator of an
environment (``np_random``) are saved separately.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from gymnasium import wrappers as gym_wrappers
from gymnasium.envs import classic_control, toy_text
from gymnasium.utils import RecordConstructorArgs
from stable_baselines3.common import atari_wrappers
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import NotPlainError, Tree, pack
from sb3_atari_course.envs.emulator_state import (
    UnsavableEnvError,
    read_emulator,
    write_emulator,
)
from sb3_atari_course.wrappers.timing import layers

Env = gym.Env[Any, Any]
Space = gym.Space[Any]

#: Attributes of third-party environments and wrappers that change during an episode; settings and
#: what only affects rendering are left out. Functions passed to a wrapper are assumed to be
#: stateless. Subclasses are not included: they may have more state.
_CHANGING: dict[type, tuple[str, ...]] = {
    AtariEnv: (),  # the emulator is saved separately
    classic_control.AcrobotEnv: ("state",),
    classic_control.CartPoleEnv: ("state", "steps_beyond_terminated"),
    classic_control.Continuous_MountainCarEnv: ("state",),
    classic_control.MountainCarEnv: ("state",),
    classic_control.PendulumEnv: ("state", "last_u"),
    toy_text.CliffWalkingEnv: ("s", "lastaction"),
    # includes the map, which is generated at random with desc=None
    toy_text.FrozenLakeEnv: ("s", "lastaction", "desc", "P", "initial_state_distrib"),
    toy_text.TaxiEnv: ("s", "lastaction", "fickle_step", "taxi_orientation"),
    # the wrappers that gym.make applies
    gym_wrappers.OrderEnforcing: ("_has_reset",),
    gym_wrappers.PassiveEnvChecker: (
        "checked_reset",
        "checked_step",
        "checked_render",
        "checked_data_reuse",
        "_previous_data",
    ),
    gym_wrappers.TimeLimit: ("_elapsed_steps",),
    # without the lists of all episodes, which grow during training: get_episode_rewards() etc.
    # return the episodes since the last resume
    Monitor: ("rewards", "needs_reset", "total_steps", "current_reset_info", "t_start"),
    atari_wrappers.AtariWrapper: (),  # consists of the others
    atari_wrappers.ClipRewardEnv: (),
    atari_wrappers.EpisodicLifeEnv: ("lives", "was_real_done"),
    atari_wrappers.FireResetEnv: (),
    atari_wrappers.MaxAndSkipEnv: ("_obs_buffer",),
    atari_wrappers.NoopResetEnv: (),
    atari_wrappers.StickyActionEnv: ("_sticky_action",),
    atari_wrappers.WarpFrame: (),
}
#: Base classes of Gymnasium's wrappers without state: ClipAction, FlattenObservation, ...
_STATELESS = (
    gym_wrappers.TransformAction,
    gym_wrappers.TransformObservation,
    gym_wrappers.TransformReward,
)

#: Importing RL Zoo replaces the second class by the first.
_SAME = {"rl_zoo3.gym_patches.PatchedTimeLimit": "gymnasium.wrappers.common.TimeLimit"}


class EnvStateError(CheckpointError):
    """Saved state that does not match: other wrappers, or another number of environments."""


class SavableEnv(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Wrapper that makes an environment inside SB3's ``SubprocVecEnv`` savable in checkpoints.

    It must be the outermost wrapper: the last one in the ``env_wrapper`` list of an RL Zoo yml
    file, or ``wrapper_class`` of SB3's ``make_vec_env``. Observations, actions and rewards are
    unchanged.

    In a worker process it ignores SIGINT, because Ctrl-C reaches all processes of a terminal: the
    main process handles it and stops the training cleanly. SIGTERM still ends the worker.

    :param env: any environment.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        in_worker = multiprocessing.parent_process() is not None
        if in_worker and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    # An exception would end the worker process, so errors are returned.

    def checkpoint_tree(self) -> tuple[Tree, str | None]:
        """Return the state of the environment and None, or None and why it cannot be saved."""
        try:
            return read_env(self.env), None
        except UnsavableEnvError as error:
            return None, str(error)

    def restore_checkpoint_tree(self, state: Tree) -> str | None:
        """Restore the state of the environment; return None, or why it cannot be restored."""
        try:
            write_env(self.env, state)
        except EnvStateError as error:
            return str(error)
        return None

    def checkpoint_monitor_file(self) -> str | None:
        """Return the path of the file that SB3's Monitor writes, None without one."""
        return monitor_file(self.env)


def class_name(cls: type) -> str:
    """Return the qualified name of a class; the same for both kinds of TimeLimit."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    return _SAME.get(name, name)


#: Qualified class name -> attributes.
FIELDS = {class_name(cls): fields for cls, fields in _CHANGING.items()}


def changing_fields(cls: type) -> tuple[str, ...] | None:
    """Return the attributes of a class that change during an episode, None if unknown."""
    if "checkpoint_fields" in vars(cls):
        fields: tuple[str, ...] = vars(cls)["checkpoint_fields"]
        return fields
    if issubclass(cls, _STATELESS) and cls.__module__.startswith("gymnasium.wrappers."):
        return ()
    return FIELDS.get(class_name(cls))


def read_env(env: Env) -> Tree:
    """Return the state of all layers, outermost first.

    :raises UnsavableEnvError: if the state of a layer is unknown or not plain data.
    """
    return [_read_layer(layer) for layer in _layers(env)]


def write_env(env: Env, state: Tree) -> None:
    """Restore the state of an environment that was made in the same way, at any point of play.

    :raises EnvStateError: if its layers differ from the saved ones; it is then unchanged.
    """
    found = list(_layers(env))
    names, saved = [class_name(type(layer)) for layer in found], [part["layer"] for part in state]
    if names != saved:
        raise EnvStateError(
            f"the saved state is of {' < '.join(saved)}, but the environment is"
            f" {' < '.join(names)}: make it with the same wrappers as when it was saved"
        )
    for layer, part in zip(found, state, strict=True):
        _write_layer(layer, part)


def monitor_file(env: Env) -> str | None:
    """Return the path of the file that SB3's Monitor writes, None without one."""
    for layer in _layers(env):
        if isinstance(layer, Monitor) and layer.results_writer is not None:
            return str(layer.results_writer.file_handler.name)
    return None


def saves_itself(layer: object) -> bool:
    """Return whether an object implements the two methods for saving its state."""
    cls = type(layer)
    return hasattr(cls, "checkpoint_state") and hasattr(cls, "restore_checkpoint_state")


def read_fields(owner: object, names: Iterable[str]) -> Tree:
    """Return copies of attributes by name; missing ones are left out."""
    return {name: copy.deepcopy(vars(owner)[name]) for name in names if name in vars(owner)}


def write_fields(owner: object, names: Iterable[str], state: Tree) -> None:
    """Set attributes to copies of the saved ones; remove those that were missing."""
    for name in names:
        if name in state:
            setattr(owner, name, copy.deepcopy(state[name]))
        else:
            vars(owner).pop(name, None)


def read_generator(generator: np.random.Generator) -> Tree:
    """Return the state of a random generator."""
    return dict(generator.bit_generator.state)


def write_generator(generator: np.random.Generator, state: Tree) -> None:
    """Restore the state of a generator in place, since other objects may reference it.

    :raises ValueError: if the state is of another kind of generator.
    """
    generator.bit_generator.state = state


def read_space(space: Space) -> Tree:
    """Return the states of the generators of a space and its subspaces, None where unseeded."""
    return [
        None if part._np_random is None else read_generator(part._np_random)
        for part in _subspaces(space)
    ]


def write_space(space: Space, state: Tree) -> None:
    """Restore the states of the generators of a space and its subspaces."""
    for part, generator in zip(_subspaces(space), state, strict=True):
        if generator is None:
            part._np_random = None  # type: ignore[assignment]  # as Space.__init__ does
        else:
            write_generator(part.np_random, generator)


def _subspaces(space: Space) -> Iterator[Space]:
    yield space
    inner = getattr(space, "spaces", ())
    for part in inner.values() if isinstance(inner, dict) else inner:
        yield from _subspaces(part)


def _layers(env: Env) -> Iterator[Env]:
    """Yield the layers that have a state, from the outermost wrapper to the environment itself."""
    return (layer for layer in layers(env) if not isinstance(layer, SavableEnv))


def _read_layer(layer: Env) -> Tree:
    own: Any = layer
    name, fields = class_name(type(layer)), changing_fields(type(layer))
    part: dict[str, Any] = {"layer": name}
    if saves_itself(layer):
        part["own"] = own.checkpoint_state()
    elif fields is None:
        raise UnsavableEnvError(
            f"the state of {name} is unknown: define checkpoint_fields, or implement"
            " checkpoint_state() and restore_checkpoint_state(state)"
        )
    else:
        part["fields"] = read_fields(layer, fields)
    if type(layer) is Monitor:  # an array: one number per frame of the episode
        part["fields"]["rewards"] = np.array(layer.rewards, np.float64)
    space = _own_space(layer)
    if space is not None:
        part["action_space"] = read_space(space)
    if not isinstance(layer, gym.Wrapper):
        generator = layer._np_random
        part["np_random"] = None if generator is None else read_generator(generator)
        part["np_random_seed"] = layer._np_random_seed
    if type(layer) is AtariEnv:
        part["emulator"] = read_emulator(layer)
    try:
        pack(part)
    except NotPlainError as error:
        raise UnsavableEnvError(
            f"the state of {name} is not plain data ({error}): implement checkpoint_state() and"
            " restore_checkpoint_state(state), or remove it"
        ) from None
    return part


def _write_layer(layer: Env, part: Tree) -> None:
    own: Any = layer
    if saves_itself(layer):
        own.restore_checkpoint_state(part["own"])
    else:
        write_fields(layer, changing_fields(type(layer)) or (), part["fields"])
    if type(layer) is Monitor:
        layer.rewards = part["fields"]["rewards"].tolist()
        if layer.results_writer is not None:  # the file may have been truncated while open
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
    if type(layer) is AtariEnv:
        write_emulator(layer, part["emulator"])


def _own_space(layer: Env) -> Space | None:
    """Return the action space that a layer defines itself, None if it passes on an inner one."""
    return layer._action_space if isinstance(layer, gym.Wrapper) else layer.action_space
