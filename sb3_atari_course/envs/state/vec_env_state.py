"""The state of SB3's vectorized environments with their wrappers, as plain data.

A ``VecEnvWrapper`` of yours joins with the two methods of ``env_state.py``; its state belongs to
the training then, and not to single environments.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
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

from sb3_atari_course._common.state_tree import Tree, is_plain
from sb3_atari_course.envs.native import NativeAtariVecEnv
from sb3_atari_course.envs.state.env_state import (
    EnvStateError,
    class_name,
    monitor_file,
    read_fields,
    read_space,
    saves_itself,
    write_env,
    write_fields,
    write_space,
)
from sb3_atari_course.envs.state.savable_env import SavableEnv

#: Two ways to run the same environments: what one saved the other can continue.
_ALIKE = (DummyVecEnv, SubprocVecEnv)

#: As a yml names it.
_SAVABLE = "sb3_atari_course.checkpoints.SavableEnv"

#: Of known wrappers: fields that belong to the training, since they outlive every episode.
_LASTING: dict[type, tuple[str, ...]] = {
    VecCheckNan: ("_user_warned",),
    VecExtractDictObs: (),
    VecFrameStack: (),
    VecMonitor: ("episode_count", "t_start"),
    VecNormalize: (),  # and its statistics
    VecTransposeImage: (),
}
_STATISTICS = ("mean", "var", "count")


def read_vec_env(venv: VecEnv) -> Tree:
    """Return the state of a VecEnv: its wrappers, and each environment or why it cannot be saved.

    Not saved are DummyVecEnv's buffers, which every step overwrites, and ``reset_infos``.
    """
    base = venv.unwrapped
    wrappers = _wrappers_of(venv)
    envs = [{"state": state, "reason": reason} for state, reason in _read_envs(base, wrappers)]
    return {
        "kind": _kind(base),
        "wrappers": [_read_wrapper(wrapper) for wrapper in wrappers],
        "action_space": read_space(base.action_space),
        "seeds": list(base._seeds),  # for the next reset
        "options": list(base._options) if is_plain(base._options) else [{}] * base.num_envs,
        "envs": envs,
    }


def unsaved_envs(state: Tree) -> dict[int, str]:
    """Return which environments could not be saved, and why: index -> reason."""
    return {i: env["reason"] for i, env in enumerate(state["envs"]) if env["reason"] is not None}


def write_vec_env(venv: VecEnv, state: Tree, *, fresh_seed: int) -> Any | None:
    """Put a state into a VecEnv that was made in the same way.

    If one of the environments could not be saved, all are seeded and reset: their running episodes
    are lost.

    :param fresh_seed: for new episodes; environment i gets ``fresh_seed + i``.
    :return: the observations of new episodes, as the outermost VecEnv returns them; None if the old
        ones go on.
    :raises EnvStateError: if it has another number of environments, or others than those saved.
    """
    _check_same(venv, state)
    base = venv.unwrapped
    wrappers = list(zip(_wrappers_of(venv), state["wrappers"], strict=True))
    observations = None
    if unsaved_envs(state):
        for wrapper, part in wrappers:
            _write_lasting(wrapper, part)  # the new observations are normalised as the old ones
        venv.seed(fresh_seed)
        observations = venv.reset()
    else:
        for i, env in enumerate(state["envs"]):
            _write_one(base, i, env["state"])
        for wrapper, part in wrappers:
            _write_per_env(wrapper, part)
    for wrapper, part in wrappers:
        _write_lasting(wrapper, part)
    write_space(base.action_space, state["action_space"])
    base._seeds, base._options = list(state["seeds"]), list(state["options"])
    return observations


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
    foreign = [class_name(type(wrapper)) for wrapper in wrappers if not _is_known(wrapper)]
    if foreign:
        reason = f"the state of {foreign[0]} is unknown, a wrapper around all environments"
    elif type(base) is DummyVecEnv:
        return [SavableEnv(env).checkpoint_tree() for env in base.envs]
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
        reason = f"the state of {class_name(type(base))} is unknown"
    return [(None, reason)] * base.num_envs


def _write_one(base: VecEnv, index: int, state: Tree) -> None:
    if type(base) is DummyVecEnv:
        write_env(base.envs[index], state)
        return
    (problem,) = base.env_method("restore_checkpoint_tree", state, indices=index)
    if problem is not None:
        raise EnvStateError(f"environment {index}: {problem}")


def _workers_can_save(base: VecEnv) -> bool:
    """Return whether the worker processes have our wrapper, outside of all others."""
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
    now = [*(class_name(type(wrapper)) for wrapper in _wrappers_of(venv)), _kind(base)]
    if saved != now:
        raise EnvStateError(
            f"the state is one of {' < '.join(saved)}, and there is {' < '.join(now)}: make the"
            " environments as they were made when they were saved"
        )
    if type(base) is SubprocVecEnv and not unsaved_envs(state) and not _workers_can_save(base):
        raise EnvStateError(
            f"the saved environments cannot be reached in their worker processes: put"
            f" {_SAVABLE} around them, last in env_wrapper"
        )


def _kind(base: VecEnv) -> str:
    return "DummyVecEnv or SubprocVecEnv" if type(base) in _ALIKE else class_name(type(base))


def _wrappers_of(venv: VecEnv) -> list[VecEnvWrapper]:
    """Return the wrappers around a VecEnv, the outermost first."""
    wrappers = []
    while isinstance(venv, VecEnvWrapper):
        wrappers.append(venv)
        venv = venv.venv
    return wrappers


def _is_known(wrapper: VecEnvWrapper) -> bool:
    return type(wrapper) in _LASTING or saves_itself(wrapper)


def _read_wrapper(wrapper: Any) -> Tree:
    """Return the state of a known wrapper, of a foreign one its name only."""
    state: dict[str, Any] = {"wrapper": class_name(type(wrapper))}
    if saves_itself(wrapper):
        state["own"] = wrapper.checkpoint_state()
    elif _is_known(wrapper):
        state["lasting"] = [read_fields(owner, names) for owner, names in _lasting(wrapper)]
        state["per_env"] = [copy.deepcopy(array) for _, _, array in _per_env(wrapper)]
    return state


def _write_lasting(wrapper: Any, state: Tree) -> None:
    """Put back what belongs to the training."""
    if saves_itself(wrapper):
        wrapper.restore_checkpoint_state(state["own"])
    elif _is_known(wrapper):
        for (owner, names), fields in zip(_lasting(wrapper), state["lasting"], strict=True):
            write_fields(owner, names, fields)


def _write_per_env(wrapper: VecEnvWrapper, state: Tree) -> None:
    """Put back what belongs to single environments."""
    for (owner, name, _), saved in zip(_per_env(wrapper), state.get("per_env", []), strict=True):
        write_fields(owner, [name], {} if saved is None else {name: saved})


def _lasting(wrapper: VecEnvWrapper) -> Iterator[tuple[object, tuple[str, ...]]]:
    """Yield objects and the names of their fields."""
    yield wrapper, _LASTING[type(wrapper)]
    if isinstance(wrapper, VecNormalize):
        yield wrapper.ret_rms, _STATISTICS
        if wrapper.norm_obs:
            rms: Any = wrapper.obs_rms
            for statistics in rms.values() if isinstance(rms, dict) else [rms]:
                yield statistics, _STATISTICS


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
