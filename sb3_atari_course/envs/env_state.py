"""The state of one environment with all its wrappers, exactly, as plain data.

A wrapper or environment of yours joins by naming its fields that change while playing::

    checkpoint_fields = ("n_steps",)              # of this class; a subclass names its own

or, where a copy of fields is not enough, with two methods::

    def checkpoint_state(self): ...           # returns plain data, see _common/state_tree.py
    def restore_checkpoint_state(self, state): ...

They concern that layer alone; the layers inside it, its action space and the random generator of an
environment (``np_random``) are saved for it.
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

#: What changes while playing in environments and wrappers of others, by attribute. Left out are
#: settings and what is only drawn on a screen. Functions given to a wrapper are taken to be
#: stateless. A subclass is another class: it may remember more.
_CHANGING: dict[type, tuple[str, ...]] = {
    AtariEnv: (),  # and its emulator
    classic_control.AcrobotEnv: ("state",),
    classic_control.CartPoleEnv: ("state", "steps_beyond_terminated"),
    classic_control.Continuous_MountainCarEnv: ("state",),
    classic_control.MountainCarEnv: ("state",),
    classic_control.PendulumEnv: ("state", "last_u"),
    toy_text.CliffWalkingEnv: ("s", "lastaction"),
    # its map too, which is another one in each process with desc=None
    toy_text.FrozenLakeEnv: ("s", "lastaction", "desc", "P", "initial_state_distrib"),
    toy_text.TaxiEnv: ("s", "lastaction", "fickle_step", "taxi_orientation"),
    # those that gym.make puts around an environment
    gym_wrappers.OrderEnforcing: ("_has_reset",),
    gym_wrappers.PassiveEnvChecker: (
        "checked_reset",
        "checked_step",
        "checked_render",
        "checked_data_reuse",
        "_previous_data",
    ),
    gym_wrappers.TimeLimit: ("_elapsed_steps",),
    # not the lists of all episodes, which grow with the training: get_episode_rewards() and the
    # like return those since the last resume
    Monitor: ("rewards", "needs_reset", "total_steps", "current_reset_info", "t_start"),
    atari_wrappers.AtariWrapper: (),  # the others stand inside it
    atari_wrappers.ClipRewardEnv: (),
    atari_wrappers.EpisodicLifeEnv: ("lives", "was_real_done"),
    atari_wrappers.FireResetEnv: (),
    atari_wrappers.MaxAndSkipEnv: ("_obs_buffer",),
    atari_wrappers.NoopResetEnv: (),
    atari_wrappers.StickyActionEnv: ("_sticky_action",),
    atari_wrappers.WarpFrame: (),
}
#: Gymnasium's wrappers of these kinds keep no state: ClipAction, FlattenObservation, ...
_STATELESS = (
    gym_wrappers.TransformAction,
    gym_wrappers.TransformObservation,
    gym_wrappers.TransformReward,
)

#: Importing RL Zoo puts the first one in the place of the second.
_SAME = {"rl_zoo3.gym_patches.PatchedTimeLimit": "gymnasium.wrappers.common.TimeLimit"}


class EnvStateError(CheckpointError):
    """A state of another environment: other layers, or another number of environments."""


class SavableEnv(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Lets checkpoints reach an environment inside SB3's SubprocVecEnv.

    It must be the outermost wrapper: the last one in the ``env_wrapper`` list of an RL Zoo yml, or
    ``wrapper_class`` of SB3's ``make_vec_env``. It changes nothing of what is played.

    In a worker process it makes Ctrl-C a matter of the main process, which stops the training
    cleanly; the signal goes to all processes of a terminal. SIGTERM still ends the worker.

    :param env: any environment.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        in_worker = multiprocessing.parent_process() is not None
        if in_worker and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    # An exception would end the worker, so these return what went wrong.

    def checkpoint_tree(self) -> tuple[Tree, str | None]:
        """Return the state of the environment, or None and why there is none."""
        try:
            return read_env(self.env), None
        except UnsavableEnvError as error:
            return None, str(error)

    def restore_checkpoint_tree(self, state: Tree) -> str | None:
        """Put a state into the environment; return why that cannot be, None if it is done."""
        try:
            write_env(self.env, state)
        except EnvStateError as error:
            return str(error)
        return None

    def checkpoint_monitor_file(self) -> str | None:
        """Return the path of the file that SB3's Monitor writes, None for none."""
        return monitor_file(self.env)


def class_name(cls: type) -> str:
    """Return module and name of a class; the two kinds of TimeLimit have one."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    return _SAME.get(name, name)


#: Full name of a class -> its fields.
FIELDS = {class_name(cls): fields for cls, fields in _CHANGING.items()}


def changing_fields(cls: type) -> tuple[str, ...] | None:
    """Return the attributes of a class's objects that change while playing, None if unknown."""
    if "checkpoint_fields" in vars(cls):
        fields: tuple[str, ...] = vars(cls)["checkpoint_fields"]
        return fields
    if issubclass(cls, _STATELESS) and cls.__module__.startswith("gymnasium.wrappers."):
        return ()
    return FIELDS.get(class_name(cls))


def read_env(env: Env) -> Tree:
    """Return the state of all layers, the outermost first.

    :raises UnsavableEnvError: if one of them is unknown here, or holds what is not plain data.
    """
    return [_read_layer(layer) for layer in _layers(env)]


def write_env(env: Env, state: Tree) -> None:
    """Put a state into an environment that was made in the same way; it may have played or not.

    :raises EnvStateError: if its layers are others than those saved; it is then as it was.
    """
    found = list(_layers(env))
    names, saved = [class_name(type(layer)) for layer in found], [part["layer"] for part in state]
    if names != saved:
        raise EnvStateError(
            f"the state is one of {' < '.join(saved)}, and the environment is"
            f" {' < '.join(names)}: make it as it was made when it was saved"
        )
    for layer, part in zip(found, state, strict=True):
        _write_layer(layer, part)


def monitor_file(env: Env) -> str | None:
    """Return the path of the file that SB3's Monitor writes, None for none."""
    for layer in _layers(env):
        if isinstance(layer, Monitor) and layer.results_writer is not None:
            return str(layer.results_writer.file_handler.name)
    return None


def saves_itself(layer: object) -> bool:
    """Return whether a class has the two methods by which its objects are saved."""
    cls = type(layer)
    return hasattr(cls, "checkpoint_state") and hasattr(cls, "restore_checkpoint_state")


def read_fields(owner: object, names: Iterable[str]) -> Tree:
    """Return copies of attributes, by name; those that do not exist (yet) are left out."""
    return {name: copy.deepcopy(vars(owner)[name]) for name in names if name in vars(owner)}


def write_fields(owner: object, names: Iterable[str], state: Tree) -> None:
    """Give an object copies of saved attributes; those that did not exist are removed."""
    for name in names:
        if name in state:
            setattr(owner, name, copy.deepcopy(state[name]))
        else:
            vars(owner).pop(name, None)


def read_generator(generator: np.random.Generator) -> Tree:
    """Return where a random generator stands."""
    return dict(generator.bit_generator.state)


def write_generator(generator: np.random.Generator, state: Tree) -> None:
    """Let a generator continue from there; it stays the same object, whoever else holds it.

    :raises ValueError: if the state is one of another kind of generator.
    """
    generator.bit_generator.state = state


def read_space(space: Space) -> Tree:
    """Return where the generators of a space and of the spaces in it stand; None if not begun."""
    return [
        None if part._np_random is None else read_generator(part._np_random)
        for part in _subspaces(space)
    ]


def write_space(space: Space, state: Tree) -> None:
    """Let them continue from there."""
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
    """Yield the layers that have a state, the outermost first and the environment itself last."""
    return (layer for layer in layers(env) if not isinstance(layer, SavableEnv))


def _read_layer(layer: Env) -> Tree:
    own: Any = layer
    name, fields = class_name(type(layer)), changing_fields(type(layer))
    part: dict[str, Any] = {"layer": name}
    if saves_itself(layer):
        part["own"] = own.checkpoint_state()
    elif fields is None:
        raise UnsavableEnvError(
            f"the state of {name} is unknown: give it checkpoint_fields, or the methods"
            " checkpoint_state() and restore_checkpoint_state(state)"
        )
    else:
        part["fields"] = read_fields(layer, fields)
    if type(layer) is Monitor:  # a number for each frame of the episode
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
            f"the state of {name} is not plain data ({error}): give it the methods"
            " checkpoint_state() and restore_checkpoint_state(state), or leave it out"
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
    if type(layer) is AtariEnv:
        write_emulator(layer, part["emulator"])


def _own_space(layer: Env) -> Space | None:
    """Return the action space that a layer made itself, None for one that it hands on."""
    return layer._action_space if isinstance(layer, gym.Wrapper) else layer.action_space
