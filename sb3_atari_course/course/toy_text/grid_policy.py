"""The greedy policy of a grid world, drawn as arrows."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_atari_course.course.toy_text.exact import best_actions
from sb3_atari_course.evaluation.player import Model, check_spaces

#: One sign for each action; Taxi's last two are pick up and drop off.
_SIGNS = {"FrozenLakeEnv": "←↓→↑", "CliffWalkingEnv": "↑→↓←", "TaxiEnv": "↓↑→←PD"}


def draw_policy(
    model: Model,
    env: gym.Env[Any, Any] | str,
    *,
    states: ArrayLike | None = None,
    signs: str | None = None,
) -> str:
    """Draw the best action of each cell of a grid world, one line for each row.

    :param model: an SB3 model, or anything with its ``predict``.
    :param env: FrozenLake, CliffWalking or Taxi (or its id), or another grid world.
    :param states: the observation in each cell, (rows, columns); known for FrozenLake and
        CliffWalking, for Taxi see :func:`taxi_grid`.
    :param signs: one character for each action; known for the three.
    :return: the rows; ``·`` marks cells where the episode is over: holes, cliff, goal.
    :raises ValueError: if the states or signs of a world are not known, if the spaces of the model
        are others than those of ``env`` (with its wrappers), if its policy is recurrent.
    """
    env = gym.make(env) if isinstance(env, str) else env
    check_spaces(model, env.observation_space, env.action_space)
    world: Any = env.unwrapped
    name = type(world).__name__
    signs = signs or _SIGNS.get(name)
    if signs is None:
        raise ValueError(f'the actions of {name} have no signs yet: pass some, e.g. signs="←↓→↑"')
    if len(signs) != world.action_space.n:
        raise ValueError(f"{name} has {world.action_space.n} actions, got the signs {signs!r}")
    over = np.zeros((0,), np.int64)
    if states is None:
        states, over = _known_grid(world, name)
    states = np.asarray(states)
    actions = best_actions(model, states.ravel())
    drawn = np.array(list(signs))[actions - int(world.action_space.start)].reshape(states.shape)
    drawn[np.isin(states, over)] = "·"
    return "\n".join("".join(row) for row in drawn)


def taxi_grid(*, passenger: int, destination: int) -> NDArray[np.int64]:
    """Return Taxi's state for each place of the taxi, (5, 5), the others being fixed.

    :param passenger: 0 to 3 for R, G, Y, B, or 4 for in the taxi.
    :param destination: 0 to 3 for R, G, Y, B.
    :raises ValueError: for a number out of range.
    """
    if passenger not in range(5) or destination not in range(4):
        raise ValueError(
            "passenger is 0 to 4 (R, G, Y, B, in the taxi) and destination 0 to 3, got"
            f" {passenger!r} and {destination!r}"
        )
    rows, columns = np.mgrid[:5, :5]
    states: NDArray[np.int64] = ((rows * 5 + columns) * 5 + passenger) * 4 + destination
    return states


def _known_grid(world: Any, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the states of a world's cells, and those in which the episode is over."""
    if name == "FrozenLakeEnv":
        states = np.arange(world.nrow * world.ncol).reshape(world.nrow, world.ncol)
        return states, states[np.isin(world.desc, [b"H", b"G"])]
    if name == "CliffWalkingEnv":
        states = np.arange(world.nS).reshape(world.shape)
        cliff = np.asarray(world._cliff)
        goal = states == world.nS - 1
        return states, states[cliff | goal]
    raise ValueError(
        f"the cells of {name} are not known: pass states, the observation in each cell"
        + (", e.g. taxi_grid(passenger=0, destination=1)" if name == "TaxiEnv" else "")
    )
