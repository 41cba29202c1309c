"""Exact state of SB3's vectorized environments with their wrappers, as plain data.

Your own ``VecEnvWrapper`` becomes savable with the two methods of ``env_state.py``; its state is
then restored even if the environments have to be reset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_atari_course._common.state_tree import Tree, is_plain
from sb3_atari_course.envs.env_state import (
    EnvStateError,
    SavableEnv,
    class_name,
    monitor_file,
    read_fields,
    read_space,
    saves_itself,
    write_env,
    write_fields,
    write_space,
)
from sb3_atari_course.envs.native import NativeAtariVecEnv

#: Their saved states are interchangeable.
_ALIKE = (DummyVecEnv, SubprocVecEnv)

#: Its name in a yml file.
_SAVABLE = "sb3_atari_course.checkpoints.SavableEnv"

#: Objects with the names of their attributes.
_Parts = list[tuple[object, tuple[str, ...]]]


def read_vec_env(venv: VecEnv) -> Tree:
    """Return the state of a VecEnv: its wrappers, and each environment or why it cannot be saved.

    DummyVecEnv's buffers, which every step overwrites, and ``reset_infos`` are not saved.
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
    """Return the environments that could not be saved: index -> reason."""
    return {i: env["reason"] for i, env in enumerate(state["envs"]) if env["reason"] is not None}


def write_vec_env(venv: VecEnv, state: Tree, *, fresh_seed: int) -> Any | None:
    """Restore the state of a VecEnv that was made in the same way.

    If one of the environments could not be saved, all are seeded and reset: their current episodes
    are lost.

    :param fresh_seed: seed after such a reset; environment i is seeded with ``fresh_seed + i``.
    :return: the observations of that reset, as the outermost VecEnv returns them; None if the saved
        episodes continue.
    :raises EnvStateError: if the number of environments or their wrappers differ.
    """
    _check_same(venv, state)
    base = venv.unwrapped
    wrappers = list(zip(_wrappers_of(venv), state["wrappers"], strict=True))
    observations = None
    if unsaved_envs(state):
        for wrapper, part in wrappers:
            _write_wrapper(wrapper, part, "lasting")  # normalizes the observations of the reset
        venv.seed(fresh_seed)
        observations = venv.reset()
    else:
        for i, env in enumerate(state["envs"]):
            _write_one(base, i, env["state"])
        for wrapper, part in wrappers:
            _write_wrapper(wrapper, part, "per_env")
    for wrapper, part in wrappers:
        _write_wrapper(wrapper, part, "lasting")
    write_space(base.action_space, state["action_space"])
    base._seeds, base._options = list(state["seeds"]), list(state["options"])
    return observations


def monitor_files(venv: VecEnv) -> list[str | None]:
    """Return the path of each environment's Monitor file, None where unknown."""
    base = venv.unwrapped
    if type(base) is DummyVecEnv:
        return [monitor_file(env) for env in base.envs]
    if _workers_can_save(base):
        return base.env_method("checkpoint_monitor_file")
    return [None] * base.num_envs


def _read_envs(base: VecEnv, wrappers: list[Any]) -> list[tuple[Tree, str | None]]:
    """Return, for each environment, its state and None, or None and why it cannot be saved."""
    foreign = [class_name(type(wrapper)) for wrapper in wrappers if not _is_known(wrapper)]
    if foreign:
        reason = f"the state of the VecEnvWrapper {foreign[0]} is unknown"
    elif type(base) is DummyVecEnv:
        return [SavableEnv(env).checkpoint_tree() for env in base.envs]
    elif _workers_can_save(base):
        return base.env_method("checkpoint_tree")
    elif type(base) is SubprocVecEnv:
        reason = (
            "it runs in a worker process, where only the outermost wrapper is accessible: add"
            f" {_SAVABLE} as the last wrapper in env_wrapper"
        )
    elif type(base) is NativeAtariVecEnv:
        reason = "ale-py's native emulators cannot be saved"
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
    """Return whether SavableEnv is the outermost wrapper in all worker processes."""
    return (
        type(base) is SubprocVecEnv
        and all(base.env_is_wrapped(SavableEnv))
        and set(base.env_method("class_name")) == {SavableEnv.__name__}
    )


def _check_same(venv: VecEnv, state: Tree) -> None:
    """Raise an EnvStateError if the state is of another kind of VecEnv."""
    base = venv.unwrapped
    if base.num_envs != len(state["envs"]):
        raise EnvStateError(
            f"the saved state has {len(state['envs'])} environments, but there are"
            f" {base.num_envs}: set n_envs to {len(state['envs'])}"
        )
    saved = [*(part["wrapper"] for part in state["wrappers"]), state["kind"]]
    now = [*(class_name(type(wrapper)) for wrapper in _wrappers_of(venv)), _kind(base)]
    if saved != now:
        raise EnvStateError(
            f"the saved state is of {' < '.join(saved)}, but the VecEnv is {' < '.join(now)}: make"
            " it with the same wrappers as when it was saved"
        )
    if type(base) is SubprocVecEnv and not unsaved_envs(state) and not _workers_can_save(base):
        raise EnvStateError(
            "environments in worker processes cannot be restored: add"
            f" {_SAVABLE} as the last wrapper in env_wrapper"
        )


def _kind(base: VecEnv) -> str:
    return "DummyVecEnv or SubprocVecEnv" if type(base) in _ALIKE else class_name(type(base))


def _wrappers_of(venv: VecEnv) -> list[VecEnvWrapper]:
    """Return the wrappers of a VecEnv, outermost first."""
    wrappers = []
    while isinstance(venv, VecEnvWrapper):
        wrappers.append(venv)
        venv = venv.venv
    return wrappers


def _parts_of(wrapper: Any) -> dict[str, _Parts] | None:
    """Return where the state of a VecEnvWrapper is, None if unknown.

    ``lasting`` state, such as running statistics, survives a reset of the environments;
    ``per_env`` state belongs to their current episodes.
    """
    if type(wrapper) is VecTransposeImage:
        return {"lasting": [], "per_env": []}
    if type(wrapper) is VecFrameStack:
        stacks: _Parts = [(stack, ("stacked_obs",)) for stack in _stacks(wrapper.stacked_obs)]
        return {"lasting": [], "per_env": stacks}
    if type(wrapper) is VecMonitor:
        counts = ("episode_returns", "episode_lengths")
        lasting = ("episode_count", "t_start")
        return {"lasting": [(wrapper, lasting)], "per_env": [(wrapper, counts)]}
    if type(wrapper) is VecNormalize:
        of_obs: Any = wrapper.obs_rms if wrapper.norm_obs else {}
        every = [wrapper.ret_rms, *(of_obs.values() if isinstance(of_obs, dict) else [of_obs])]
        return {
            "lasting": [(one, ("mean", "var", "count")) for one in every],
            "per_env": [(wrapper, ("returns", "old_obs", "old_reward"))],
        }
    return None


def _is_known(wrapper: VecEnvWrapper) -> bool:
    return saves_itself(wrapper) or _parts_of(wrapper) is not None


def _read_wrapper(wrapper: Any) -> Tree:
    """Return the state of a known wrapper, or only the name of an unknown one."""
    state: dict[str, Any] = {"wrapper": class_name(type(wrapper))}
    if saves_itself(wrapper):
        return {**state, "own": wrapper.checkpoint_state()}
    for kind, parts in (_parts_of(wrapper) or {}).items():
        state[kind] = [read_fields(owner, names) for owner, names in parts]
    return state


def _write_wrapper(wrapper: Any, state: Tree, kind: Literal["lasting", "per_env"]) -> None:
    """Restore one kind of state of a wrapper, see :func:`_parts_of`."""
    if saves_itself(wrapper):
        if kind == "lasting":
            wrapper.restore_checkpoint_state(state["own"])
        return
    parts = (_parts_of(wrapper) or {}).get(kind, [])
    for (owner, names), fields in zip(parts, state.get(kind, []), strict=True):
        write_fields(owner, names, fields)


def _stacks(stack: Any) -> Iterator[StackedObservations[Any]]:
    """Yield the objects that hold the stacked arrays: one, or one per key of Dict observations."""
    if hasattr(stack, "sub_stacked_observations"):
        for part in stack.sub_stacked_observations.values():
            yield from _stacks(part)
    else:
        yield stack
