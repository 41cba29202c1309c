"""A call of ``q_learning``, and what it returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.fake_envs import TableEnv
from sb3_atari_course.course.exercises.judging import Solution, WrongError
from sb3_atari_course.course.exercises.q_learning_rules import ALPHA, GAMMA

#: Likely cause if an argument makes no difference.
CONSTANT_HINT = "does a number or a variable of the lesson stand in its place?"


class Learned(NamedTuple):
    """What a call of q_learning returned."""

    table: NDArray[Any]
    history: list[Any]


def learn(solution: Solution, env: gym.Env[Any, Any], **changes: Any) -> Learned:
    """Call the student's function with small numbers.

    :raises WrongError: if it does not return what it should, or did not play.
    """
    settings: dict[str, Any] = {
        "n_episodes": 1,
        "max_steps": 50,
        "max_epsilon": 1.0,
        "min_epsilon": 1.0,
        "epsilon_decay": 0.1,
        "alpha": ALPHA,
        "gamma": GAMMA,
        "rng": np.random.default_rng(0),
    }
    result = solution.q_learning(env, **{**settings, **changes})
    if isinstance(env, TableEnv) and not env.log:
        raise WrongError(
            "the environment that was passed was never played: call reset and step of the argument"
            " env, make no other one"
        )
    learned = _read(result)
    states: Any = env.observation_space
    actions: Any = env.action_space
    _check_table(learned.table, int(states.n), int(actions.n))
    return learned


def _read(result: Any) -> Learned:
    """Return table and history.

    :raises WrongError: if they are something else.
    """
    if result is None:
        raise WrongError("q_learning returned nothing: it ends with return table, history")
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        n_things = len(result) if isinstance(result, tuple) else 1
        raise WrongError(
            f"q_learning returns two things, table and history, got {n_things}, a"
            f" {type(result).__name__}"
        )
    table, history = result
    if isinstance(table, list) and isinstance(history, np.ndarray):
        raise WrongError("the history is returned first: the order is return table, history")
    if isinstance(table, Mapping):
        raise WrongError(
            f"the table is a {type(table).__name__}: return an array (n_states, n_actions)"
        )
    try:
        array = np.asarray(table)
    except Exception as error:
        raise WrongError(f"the table cannot be read as an array: {error}") from None
    if isinstance(history, Mapping) or not hasattr(history, "__len__"):
        raise WrongError(f"the history is a list with an Episode for each, got {history!r:.60}")
    entries = list(history)
    for number, entry in enumerate(entries):
        _check_entry(number, entry)
    return Learned(array, entries)


def _check_table(table: NDArray[Any], n_states: int, n_actions: int) -> None:
    if table.shape != (n_states, n_actions):
        hint = (
            "environments of other sizes are tried, take them from env.observation_space.n and"
            " env.action_space.n inside the function"
        )
        if table.shape == (n_actions, n_states):
            hint = "rows are states, columns are actions"
        raise WrongError(
            f"for {n_states} states and {n_actions} actions the table has the shape {table.shape}:"
            f" {hint}"
        )
    if table.dtype.kind != "f" or table.itemsize < 4:
        raise WrongError(
            f"the table holds {table.dtype}: values are fractions (float64, or float32)"
        )


def _check_entry(number: int, entry: Any) -> None:
    missing = [name for name in ("epsilon", "steps") if not hasattr(entry, name)]
    if missing:
        raise WrongError(
            f"entry {number} of the history is a {type(entry).__name__} without"
            f" {' and '.join(missing)}: append Episode(epsilon, steps)"
        )
    if np.isnan(number_of(entry.epsilon)):
        raise WrongError(
            f"epsilon of entry {number} of the history is {entry.epsilon!r:.60}, not a number:"
            " the order is Episode(epsilon, steps)"
        )
    if not hasattr(entry.steps, "__len__"):
        raise WrongError(
            f"steps of entry {number} of the history is {entry.steps!r:.60}: it is a list with an"
            " EpisodeStep for each step"
        )


def number_of(value: Any) -> float:
    """Return a student's number, nan if it is something else."""
    if isinstance(value, str):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
