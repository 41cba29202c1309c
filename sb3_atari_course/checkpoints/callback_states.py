"""The callbacks beside a training as plain data: their counters, lists and best scores.

What a callback keeps in its attributes is saved if it is plain data. One that keeps more, or other
things, has two methods: ``checkpoint_state()``, which returns plain data, and
``restore_checkpoint_state(state)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    EvalCallback,
    ProgressBarCallback,
)
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import Tree, is_plain
from sb3_atari_course.callbacks import WholeGames

Callbacks = BaseCallback | Sequence[BaseCallback]

#: What belongs to the process and not to the training.
_NOT_SAVED = ("model", "parent", "locals", "globals", "verbose")
#: Callbacks that have nothing to save (those of ours say so themselves: ``is_stateless``).
_STATELESS = (CallbackList, ProgressBarCallback)
#: Attributes in which SB3's callbacks keep other callbacks.
_CHILDREN = ("callback", "callback_on_new_best")


def all_within(callback: Callbacks) -> Iterator[BaseCallback]:
    """Yield a callback, or several, and those in them: of a list, of an evaluation."""
    if not isinstance(callback, BaseCallback):
        for one in callback:
            yield from all_within(one)
        return
    yield callback
    yield from all_within(getattr(callback, "callbacks", []))
    for name in _CHILDREN:
        child = getattr(callback, name, None)
        if isinstance(child, BaseCallback):
            yield from all_within(child)


def evaluation_envs(callback: Callbacks) -> list[VecEnv]:
    """Return the environments of all evaluations beside a training."""
    return [one.eval_env for one in all_within(callback) if isinstance(one, EvalCallback)]


def read_callbacks(callback: Callbacks) -> Tree:
    """Return the state of a callback and of those in it."""
    return [{"kind": _kind(one), "state": _read(one)} for one in _with_state(callback)]


def write_callbacks(callback: Callbacks, states: Tree) -> None:
    """Put these states into callbacks that were built in the same way.

    :raises CheckpointError: if they are others; nothing is changed then.
    """
    callbacks = list(_with_state(callback))
    here, saved = [_kind(one) for one in callbacks], [state["kind"] for state in states]
    if here != saved:
        raise CheckpointError(
            f"the training had the callbacks {_names(saved)}, here they are {_names(here)}: pass"
            " the same ones, in the same order"
        )
    for one, state in zip(callbacks, states, strict=True):
        _write(one, state["state"])


def begin_games(callback: Callbacks, envs: Iterable[int]) -> None:
    """Let callbacks count new games in environments that could not be saved.

    :param envs: their numbers.
    """
    for one in all_within(callback):
        for value in vars(one).values():
            if isinstance(value, WholeGames):
                value.begin_again(envs)


def _with_state(callback: Callbacks) -> Iterator[BaseCallback]:
    """Yield those that have something to save; the others may come or go."""
    for one in all_within(callback):
        if not (isinstance(one, _STATELESS) or getattr(one, "is_stateless", False)):
            yield one


def _read(callback: Any) -> Tree:
    if hasattr(callback, "checkpoint_state"):
        return {"own": callback.checkpoint_state(), "n_calls": callback.n_calls}
    return {name: value for name, value in vars(callback).items() if _is_state(name, value)}


def _write(callback: Any, state: Tree) -> None:
    if hasattr(callback, "restore_checkpoint_state"):
        callback.restore_checkpoint_state(state["own"])
        callback.n_calls = state["n_calls"]
        return
    for name, value in state.items():
        here = vars(callback).get(name)
        if isinstance(value, dict) and isinstance(here, dict):  # a Counter, say, stays one
            here.clear()
            here.update(value)
        elif isinstance(value, tuple) and hasattr(here, "_make"):  # a named one
            setattr(callback, name, here._make(value))
        elif value is not None or is_plain(here):
            setattr(callback, name, value)


def _is_state(name: str, value: Any) -> bool:
    """Tell whether an attribute may change while training; paths are settings."""
    is_path = isinstance(value, str) and ("/" in value or os.sep in value)
    return name not in _NOT_SAVED and not is_path and is_plain(value)


def _kind(callback: BaseCallback) -> str:
    return f"{type(callback).__module__}.{type(callback).__qualname__}"


def _names(kinds: list[str]) -> str:
    return ", ".join(kind.rpartition(".")[2] for kind in kinds) or "none"
