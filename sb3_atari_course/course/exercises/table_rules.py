"""What a table holds after given steps: by Q-learning's rule, and by its usual misreadings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.fake_envs import Step

#: (table, step, alpha, gamma) -> new value of the step's cell
Rule = Callable[[NDArray[Any], Step, float, float], float]


def _towards(target: Callable[[NDArray[Any], Step, float], float]) -> Rule:
    """Return the rule that moves a cell by alpha towards a target."""

    def rule(table: NDArray[Any], step: Step, alpha: float, gamma: float) -> float:
        old: float = table[step.state, step.action]
        return old + alpha * (target(table, step, gamma) - old)

    return rule


def _bellman(table: NDArray[Any], step: Step, gamma: float) -> float:
    return step.reward + (0.0 if step.terminated else gamma * table[step.next_state].max())


#: what was done -> rule; the first is right
RULES: dict[str, Rule] = {
    "as asked": _towards(_bellman),
    "gamma is left out": _towards(lambda q, s, gamma: _bellman(q, s, 1.0)),
    "the future is left out, only the reward counts": _towards(lambda q, s, gamma: s.reward),
    "the future is subtracted from the reward: the sign of gamma is wrong": _towards(
        lambda q, s, gamma: _bellman(q, s, -gamma)
    ),
    "the terminal case is missing: after terminated there is no future": _towards(
        lambda q, s, gamma: s.reward + gamma * q[s.next_state].max()
    ),
    "truncated is taken for terminated: a time limit is no end, the future still counts": _towards(
        lambda q, s, gamma: s.reward if s.terminated or s.truncated else _bellman(q, s, gamma)
    ),
    "the best value is taken from the state that was left, not from the next state": _towards(
        lambda q, s, gamma: s.reward + (0.0 if s.terminated else gamma * q[s.state].max())
    ),
    "the mean of the next row is taken, not its maximum": _towards(
        lambda q, s, gamma: s.reward + (0.0 if s.terminated else gamma * q[s.next_state].mean())
    ),
    "the minimum of the next row is taken, not its maximum": _towards(
        lambda q, s, gamma: s.reward + (0.0 if s.terminated else gamma * q[s.next_state].min())
    ),
    "the next row is read in the column of the old action, not at its best": _towards(
        lambda q, s, gamma: s.reward + (0.0 if s.terminated else gamma * q[s.next_state, s.action])
    ),
    "gamma is applied to the reward too": _towards(
        lambda q, s, gamma: gamma * (s.reward + (0.0 if s.terminated else q[s.next_state].max()))
    ),
    "the old value is kept whole: it must be subtracted from the target": (
        lambda q, s, alpha, gamma: q[s.state, s.action] + alpha * _bellman(q, s, gamma)
    ),
    "only the reward is weighed by alpha, not the future": (
        lambda q, s, alpha, gamma: (
            (1 - alpha) * q[s.state, s.action]
            + alpha * s.reward
            + (0.0 if s.terminated else gamma * q[s.next_state].max())
        )
    ),
    "alpha and 1 - alpha have changed places": (
        lambda q, s, alpha, gamma: (
            alpha * q[s.state, s.action] + (1 - alpha) * _bellman(q, s, gamma)
        )
    ),
}


def learned_table(
    steps: Sequence[Step],
    shape: tuple[int, ...],
    alpha: float,
    gamma: float,
    rule: Rule,
    table: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return the table after some steps.

    :param steps: in their order.
    :param shape: (n_states, n_actions).
    :param alpha: learning rate.
    :param gamma: discount.
    :param rule: how one step changes its cell.
    :param table: to begin with; default: zeros. It is not changed.
    """
    table = np.zeros(shape) if table is None else table.copy()
    for step in steps:
        table[step.state, step.action] = rule(table, step, alpha, gamma)
    return table
