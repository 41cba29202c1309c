"""The update of Q-learning, and known mistakes in it: what each makes of the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.fake_envs import Step

#: The learning rate and the discount with which the judge calls a solution.
ALPHA, GAMMA = 0.4, 0.8


def _best(table: NDArray[Any], step: Step, following: Step | None) -> float:
    return float(table[step.next_state].max())


def _taken(table: NDArray[Any], step: Step, following: Step | None) -> float:
    """Value of the action that the next step takes; unknown after the last step of an episode."""
    return float(table[following.state, following.action]) if following else np.nan


@dataclass(frozen=True)
class Rule:
    """How one step changes its cell, a sum of three: old value, reward, best value of what follows.

    :param keep: weight of the old value.
    :param reward: weight of the reward.
    :param future: weight of the best value.
    :param best: that value, of (table, step, the next step of the episode or None).
    :param ends: whether a step has no future.
    :param seen: the steps from which the table is learned, of those that were made.
    """

    keep: float = 1 - ALPHA
    reward: float = ALPHA
    future: float = ALPHA * GAMMA
    best: Callable[[NDArray[Any], Step, Step | None], float] = _best
    ends: Callable[[Step], bool] = lambda step: step.terminated
    seen: Callable[[Sequence[Step]], Iterable[Step]] = lambda steps: steps

    def learn(self, table: NDArray[Any], step: Step, following: Step | None = None) -> None:
        """Change the step's cell."""
        future = 0.0 if self.ends(step) else self.best(table, step, following)
        old = table[step.state, step.action]
        new = self.keep * old + self.reward * step.reward + self.future * future
        table[step.state, step.action] = new

    def table(self, steps: Sequence[Step], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return what some steps make of a table of zeros."""
        table = np.zeros(shape)
        for episode in episodes_of(list(self.seen(steps))):
            for step, following in zip(episode, [*episode[1:], None], strict=True):
                self.learn(table, step, following)
        return table


RIGHT = Rule()


def episodes_of(steps: Sequence[Step]) -> list[list[Step]]:
    """Return the steps of each episode."""
    return [list(episode) for _, episode in groupby(steps, key=lambda step: step.episode)]


def _in_each_episode(
    change: Callable[[list[Step]], Iterable[Step]],
) -> Callable[[Sequence[Step]], list[Step]]:
    return lambda steps: [step for episode in episodes_of(steps) for step in change(episode)]


def _in_each_step(change: Callable[[Step], Step]) -> Callable[[Sequence[Step]], list[Step]]:
    return lambda steps: [change(step) for step in steps]


def _with_rewards_so_far(episode: list[Step]) -> list[Step]:
    totals = np.cumsum([step.reward for step in episode])
    return [replace(step, reward=total) for step, total in zip(episode, totals, strict=True)]


def _with_returns_backwards(episode: list[Step]) -> list[Step]:
    backwards, total = list[Step](), 0.0
    for step in reversed(episode):
        total = step.reward + GAMMA * total
        backwards.append(replace(step, reward=total))
    return backwards


#: what was done -> the rule that comes out
MISTAKES = {
    "the sign is wrong: the error is target minus old value": Rule(
        1 + ALPHA, -ALPHA, -ALPHA * GAMMA
    ),
    "alpha is missing": Rule(0.0, 1.0, GAMMA),
    "nothing is learned in the row of the state that was left": Rule(1.0, 0.0, 0.0),
    "the old value is kept whole: it must be subtracted from the target": Rule(keep=1.0),
    "alpha and 1 - alpha have changed places": Rule(ALPHA, 1 - ALPHA, (1 - ALPHA) * GAMMA),
    "alpha and gamma have changed places": Rule(1 - GAMMA, GAMMA, ALPHA * GAMMA),
    "gamma is left out": Rule(future=ALPHA),
    "the future is left out, only the reward counts": Rule(future=0.0),
    "the future is subtracted from the reward: the sign of gamma is wrong": Rule(
        future=-ALPHA * GAMMA
    ),
    "gamma is applied to the reward too": Rule(reward=ALPHA * GAMMA),
    "gamma is applied to the reward too, except at the end": Rule(
        seen=_in_each_step(
            lambda step: step if step.terminated else replace(step, reward=GAMMA * step.reward)
        )
    ),
    "the cell is set to alpha * (target - cell), it must be moved by that": Rule(keep=-ALPHA),
    "each step is learned from twice": Rule(
        (1 - ALPHA) ** 2, 1 - (1 - ALPHA) ** 2, GAMMA * (1 - (1 - ALPHA) ** 2)
    ),
    "alpha belongs to the target too: (1 - alpha) * cell + alpha * target": Rule(
        1 - ALPHA, 1.0, GAMMA
    ),
    "only the reward is weighed by alpha, not the future": Rule(future=GAMMA),
    "the terminal case is missing: after terminated there is no future": Rule(ends=lambda _: False),
    "the terminal case is the wrong way round: it is the end that has no future": Rule(
        ends=lambda step: not step.terminated
    ),
    "terminated and truncated have changed places: step returns (next_state, reward, terminated,"
    " truncated, info)": Rule(ends=lambda step: step.truncated),
    "truncated is taken for terminated: a time limit is not an end, the future still counts": Rule(
        ends=lambda step: step.terminated or step.truncated
    ),
    "the last step before max_steps is taken for terminated: it is not an end, the future still"
    " counts": Rule(
        seen=_in_each_episode(
            lambda steps: [*steps[:-1], replace(steps[-1], terminated=not steps[-1].truncated)]
        )
    ),
    "a terminated step does not move its cell: its target is the reward, not 0, and the update"
    " comes before the loop is left": Rule(
        seen=_in_each_step(lambda step: replace(step, reward=0.0) if step.terminated else step)
    ),
    "the step that ends an episode is not learned from: update before the loop is left": Rule(
        seen=lambda steps: [step for step in steps if not (step.terminated or step.truncated)]
    ),
    "only the last step of an episode is learned from: the update belongs into the loop of the"
    " steps": Rule(seen=_in_each_episode(lambda steps: steps[-1:])),
    "the best value is taken from the state that was left, not from the next state": Rule(
        best=lambda table, step, _: table[step.state].max()
    ),
    "the mean of the next row is taken, not its maximum": Rule(
        best=lambda table, step, _: table[step.next_state].mean()
    ),
    "the minimum of the next row is taken, not its maximum": Rule(
        best=lambda table, step, _: table[step.next_state].min()
    ),
    "the sum of the next row is taken, not its maximum": Rule(
        best=lambda table, step, _: table[step.next_state].sum()
    ),
    "the maximum of the whole table is taken, not of the row of the next state": Rule(
        best=lambda table, step, _: table.max()
    ),
    "argmax is the number of the best action, its value is the max of the next row": Rule(
        best=lambda table, step, _: float(table[step.next_state].argmax())
    ),
    "the next row is read in the column of the old action, not at its best": Rule(
        best=lambda table, step, _: table[step.next_state, step.action]
    ),
    "the value of the next action that is played is taken (that is SARSA), not the maximum of the"
    " next row": Rule(best=_taken),
    "the total reward of the episode is taken for the reward of the step": Rule(
        seen=_in_each_episode(_with_rewards_so_far)
    ),
    "the return of the whole episode is the target (that is Monte Carlo): it is reward + gamma *"
    " max(next row), at each step": Rule(
        future=0.0, seen=_in_each_episode(_with_returns_backwards)
    ),
    "the state stays the first of the episode: state = next_state is missing": Rule(
        seen=_in_each_episode(lambda steps: [replace(s, state=steps[0].state) for s in steps])
    ),
    "the cell of the next state is changed: state = next_state comes after the update": Rule(
        seen=_in_each_step(lambda step: replace(step, state=step.next_state))
    ),
}


def name_mistake(runs: Sequence[tuple[NDArray[Any], Sequence[Step]]]) -> str | None:
    """Return the known mistake that leaves these tables, None if there is none.

    :param runs: table and steps from which it was learned, of some calls of a solution.
    """
    for mistake, rule in MISTAKES.items():
        if all(_may_come_from(rule, table, steps) for table, steps in runs):
            return mistake
    return None


def _may_come_from(rule: Rule, table: NDArray[Any], steps: Sequence[Step]) -> bool:
    expected = rule.table(steps, table.shape)
    return bool(np.all(np.isnan(expected) | np.isclose(table, expected, atol=1e-5)))
