"""The state of SB3's vectorised environments with their wrappers, as plain data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_atari_course._common.state_tree import Tree, is_plain
from sb3_atari_course.envs.native import NativeAtariVecEnv
from sb3_atari_course.envs.state.env_layers import full_name
from sb3_atari_course.envs.state.env_state import (
    EnvStateError,
    UnsavableEnvError,
    monitor_file,
    read_env,
    write_env,
)
from sb3_atari_course.envs.state.savable import SavableEnv
from sb3_atari_course.envs.state.spaces_state import read_space, write_space
from sb3_atari_course.envs.state.vec_wrappers_state import (
    is_known,
    read_wrapper,
    wrappers_of,
    write_lasting,
    write_per_env,
)

#: Two ways to run the same environments: what one saved the other can go on with.
_ALIKE = (DummyVecEnv, SubprocVecEnv)

#: As a yml names it.
_SAVABLE = "sb3_atari_course.checkpoints.SavableEnv"


class NewEpisodes(NamedTuple):
    """Episodes that began because their environments could not be saved."""

    #: (n_envs,): in which environments; their running episodes are lost.
    begun: NDArray[np.bool_]
    #: (n_envs, ...) or a dict of that, as the outermost VecEnv shows them; only the rows of
    #: ``begun`` mean something.
    observations: Any


def read_vec_env(venv: VecEnv) -> Tree:
    """Return the state of a VecEnv: its wrappers, and each environment or why it cannot be saved.

    Not saved are DummyVecEnv's buffers, which every step overwrites, and ``reset_infos``.
    """
    base = venv.unwrapped
    wrappers = wrappers_of(venv)
    envs = [{"state": state, "reason": reason} for state, reason in _read_envs(base, wrappers)]
    return {
        "kind": _kind(base),
        "wrappers": [read_wrapper(wrapper) for wrapper in wrappers],
        "action_space": read_space(base.action_space),
        "seeds": list(base._seeds),  # for the next reset
        "options": list(base._options) if is_plain(base._options) else [{}] * base.num_envs,
        "envs": envs,
    }


def unsaved_envs(state: Tree) -> dict[int, str]:
    """Return which environments could not be saved, and why: index -> reason."""
    return {i: env["reason"] for i, env in enumerate(state["envs"]) if env["reason"] is not None}


def write_vec_env(venv: VecEnv, state: Tree, *, fresh_seed: int) -> NewEpisodes | None:
    """Put a state into a VecEnv that was made in the same way.

    If environments could not be saved, all are seeded and reset once, and those that were saved are
    restored after that. The caller goes on with the new observations in the rows of
    ``NewEpisodes.begun`` and with the saved ones in all others.

    :param fresh_seed: for environments that could not be saved; environment i gets
        ``fresh_seed + i``.
    :return: the episodes that began anew, None if there are none.
    :raises EnvStateError: if it has another number of environments, or others than those saved.
    """
    _check_same(venv, state)
    base = venv.unwrapped
    wrappers = wrappers_of(venv)
    saved = np.array([env["reason"] is None for env in state["envs"]], bool)
    observations = None
    if not saved.all():
        for wrapper, part in zip(wrappers, state["wrappers"], strict=True):
            write_lasting(wrapper, part)  # the new observations are normalised as the old ones
        venv.seed(fresh_seed)
        observations = venv.reset()
    for i in np.flatnonzero(saved).tolist():
        _write_one(base, i, state["envs"][i]["state"])
    for wrapper, part in zip(wrappers, state["wrappers"], strict=True):
        write_lasting(wrapper, part)
        write_per_env(wrapper, part, saved)
    write_space(base.action_space, state["action_space"])
    base._seeds, base._options = list(state["seeds"]), list(state["options"])
    return None if observations is None else NewEpisodes(~saved, observations)


def monitor_files(venv: VecEnv) -> list[str | None]:
    """Return the path of the file that each environment's Monitor writes, None where unknown."""
    base = venv.unwrapped
    if type(base) is DummyVecEnv:
        return [monitor_file(env) for env in base.envs]
    if _workers_can_save(base):
        return base.env_method("checkpoint_monitor_file")
    return [None] * base.num_envs


def _read_envs(base: VecEnv, wrappers: list[Any]) -> list[tuple[Tree, str | None]]:
    """Return of each environment its state and None, or None and why it cannot be saved."""
    foreign = [full_name(wrapper) for wrapper in wrappers if not is_known(wrapper)]
    if foreign:
        reason = f"nobody knows which state {foreign[0]} has, a wrapper around all environments"
    elif type(base) is DummyVecEnv:
        return [_read_one(env) for env in base.envs]
    elif _workers_can_save(base):
        return base.env_method("checkpoint_tree")
    elif type(base) is SubprocVecEnv:
        reason = (
            "it lives in a worker process, where only its outermost wrapper can be reached: put"
            f" {_SAVABLE} around it, last in env_wrapper"
        )
    elif type(base) is NativeAtariVecEnv:
        reason = "ale-py's native emulators offer no call that saves them"
    else:
        reason = f"nobody knows which state {full_name(base)} has"
    return [(None, reason)] * base.num_envs


def _read_one(env: Any) -> tuple[Tree, str | None]:
    try:
        return read_env(env), None
    except UnsavableEnvError as error:
        return None, str(error)


def _write_one(base: VecEnv, index: int, state: Tree) -> None:
    if type(base) is DummyVecEnv:
        write_env(base.envs[index], state)
        return
    (problem,) = base.env_method("restore_checkpoint_tree", state, indices=index)
    if problem is not None:
        raise EnvStateError(f"environment {index}: {problem}")


def _workers_can_save(base: VecEnv) -> bool:
    """Tell whether the worker processes have our wrapper, outside of all others."""
    return (
        type(base) is SubprocVecEnv
        and all(base.env_is_wrapped(SavableEnv))
        and set(base.env_method("class_name")) == {SavableEnv.__name__}  # of the outermost
    )


def _check_same(venv: VecEnv, state: Tree) -> None:
    """Raise an EnvStateError if the state is one of another VecEnv."""
    base = venv.unwrapped
    if base.num_envs != len(state["envs"]):
        raise EnvStateError(
            f"the state is one of {len(state['envs'])} environments, and there are"
            f" {base.num_envs}: make as many (n_envs)"
        )
    saved = [*(part["wrapper"] for part in state["wrappers"]), state["kind"]]
    now = [*(full_name(wrapper) for wrapper in wrappers_of(venv)), _kind(base)]
    if saved != now:
        raise EnvStateError(
            f"the state is one of {' < '.join(saved)}, and there is {' < '.join(now)}: make the"
            " environments as they were made when they were saved"
        )
    unsaved = unsaved_envs(state)
    if type(base) is SubprocVecEnv and len(unsaved) < base.num_envs and not _workers_can_save(base):
        raise EnvStateError(
            f"the saved environments cannot be reached in their worker processes: put"
            f" {_SAVABLE} around them, last in env_wrapper"
        )


def _kind(base: VecEnv) -> str:
    """Return the name of a kind of VecEnv."""
    return "DummyVecEnv or SubprocVecEnv" if type(base) in _ALIKE else full_name(base)
