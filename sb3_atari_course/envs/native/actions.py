"""Actions before they are sent: checked, and FIRE written in where a life begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def checked_actions(actions: Any, *, n_envs: int, n_actions: int) -> NDArray[Any]:
    """Return the actions as an array, the caller's own if it is one.

    A wrong one must not reach ale-py, where it would stop the emulators for ever.

    :param actions: (n_envs,) integers from 0 to ``n_actions - 1``.
    :raises TypeError: if they are no integers.
    :raises ValueError: if their shape is another, or one is outside the action space.
    """
    array = np.asarray(actions)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"actions must be integers, got {array.dtype}: {actions!r}")
    if array.shape != (n_envs,):
        raise ValueError(
            f"actions must have the shape ({n_envs},), one for each game, got {array.shape}"
        )
    outside = (array < 0) | (array >= n_actions)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"action {array[i]} of game {i} is outside the action space Discrete({n_actions}):"
            f" 0 to {n_actions - 1}"
        )
    return array


def with_fire(actions: NDArray[Any], starts: NDArray[np.bool_], fire: int) -> NDArray[Any]:
    """Return the actions with FIRE where a life begins, written into the caller's array.

    SB3's off-policy algorithms store that array after the step, so that their memory holds what
    was executed. A read-only array stays as it is; its copy is returned.

    :param actions: (n_envs,) integers.
    :param starts: (n_envs,) True where a life begins.
    :param fire: number of the action FIRE.
    """
    if not starts.any():
        return actions
    if not actions.flags.writeable:
        actions = actions.copy()
    actions[starts] = fire
    return actions
