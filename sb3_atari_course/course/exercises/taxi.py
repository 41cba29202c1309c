"""Exercise 1, ``q_learning``: the table, the walk through the world, the update, the decay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.fake_envs import (
    Step,
    TableEnv,
    check_epsilons,
    check_random,
)
from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError
from sb3_atari_course.course.toy_text import evaluate_exactly

_ALPHA, _GAMMA = 0.4, 0.8

#: Two states and an end that looks like the first: what follows an end must not count.
_ROUND = {
    (0, 0): (1, -1.0, False),
    (0, 1): (1, 2.0, False),
    (0, 2): (0, -1.0, False),
    (1, 0): (0, 3.0, True),
    (1, 1): (0, -2.0, False),
    (1, 2): (1, 1.0, False),
}


@dataclass(frozen=True)
class Rule:
    """How one step changes its cell, a sum of three: old value, reward, best value of what follows.

    :param keep: weight of the old value.
    :param reward: weight of the reward.
    :param future: weight of the best value.
    :param best: that value, of (table, step).
    :param ends: whether a step has no future.
    """

    keep: float = 1 - _ALPHA
    reward: float = _ALPHA
    future: float = _ALPHA * _GAMMA
    best: Callable[[NDArray[Any], Step], float] = lambda table, step: table[step.next_state].max()
    ends: Callable[[Step], bool] = lambda step: step.terminated

    def learn(self, table: NDArray[Any], step: Step) -> None:
        """Change the step's cell."""
        future = 0.0 if self.ends(step) else self.best(table, step)
        old = table[step.state, step.action]
        new = self.keep * old + self.reward * step.reward + self.future * future
        table[step.state, step.action] = new

    def table(self, steps: Sequence[Step], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return what some steps make of a table of zeros."""
        table = np.zeros(shape)
        for step in steps:
            self.learn(table, step)
        return table


_RIGHT = Rule()

#: what was done -> the rule that comes out
_MISTAKES = {
    "the sign is wrong: the error is target minus old value": Rule(
        1 + _ALPHA, -_ALPHA, -_ALPHA * _GAMMA
    ),
    "alpha is missing": Rule(0.0, 1.0, _GAMMA),
    "nothing is learned in the row of the state that was left": Rule(1.0, 0.0, 0.0),
    "the old value is kept whole: it must be subtracted from the target": Rule(keep=1.0),
    "alpha and 1 - alpha have changed places": Rule(_ALPHA, 1 - _ALPHA, (1 - _ALPHA) * _GAMMA),
    "gamma is left out": Rule(future=_ALPHA),
    "the future is left out, only the reward counts": Rule(future=0.0),
    "the future is subtracted from the reward: the sign of gamma is wrong": Rule(
        future=-_ALPHA * _GAMMA
    ),
    "gamma is applied to the reward too": Rule(reward=_ALPHA * _GAMMA),
    "only the reward is weighed by alpha, not the future": Rule(future=_GAMMA),
    "the terminal case is missing: after terminated there is no future": Rule(ends=lambda _: False),
    "truncated is taken for terminated: a time limit is no end, the future still counts": Rule(
        ends=lambda step: step.terminated or step.truncated
    ),
    "the best value is taken from the state that was left, not from the next state": Rule(
        best=lambda table, step: table[step.state].max()
    ),
    "the mean of the next row is taken, not its maximum": Rule(
        best=lambda table, step: table[step.next_state].mean()
    ),
    "the minimum of the next row is taken, not its maximum": Rule(
        best=lambda table, step: table[step.next_state].min()
    ),
    "the next row is read in the column of the old action, not at its best": Rule(
        best=lambda table, step: table[step.next_state, step.action]
    ),
}


def _learn(solution: Solution, env: gym.Env[Any, Any], **changes: Any) -> tuple[Any, Any]:
    """Call the student's function with small numbers; return table and history."""
    settings: dict[str, Any] = {
        "n_episodes": 1,
        "max_steps": 50,
        "max_epsilon": 1.0,
        "min_epsilon": 1.0,
        "epsilon_decay": 0.1,
        "alpha": _ALPHA,
        "gamma": _GAMMA,
        "rng": np.random.default_rng(0),
    }
    result = solution.q_learning(env, **{**settings, **changes})
    if not isinstance(result, tuple) or len(result) != 2:
        raise WrongError(f"q_learning returns (table, history), got {type(result).__name__}")
    return result


def table_starts_at_zero(solution: Solution) -> None:
    """The table has a row for each state, a column for each action, and starts at zero."""
    table = _learn(solution, TableEnv({}, n_states=5, n_actions=3), n_episodes=0)[0]
    shape = np.shape(table)
    if shape != (5, 3):
        hint = ": rows are states, columns are actions" if shape == (3, 5) else ""
        raise WrongError(f"for 5 states and 3 actions the table has the shape {shape}{hint}")
    if np.asarray(table).dtype.kind != "f":
        raise WrongError(f"the table holds {np.asarray(table).dtype}: values are fractions (float)")
    if np.any(table):
        raise WrongError(f"before the first episode the table holds {np.ravel(table)[:3]}, not 0")


def episodes_begin_and_end(solution: Solution) -> None:
    """Each episode begins with a reset and lasts until the world or max_steps ends it."""
    world = TableEnv(
        {(s, a): (s + 1, 0.0, s == 3) for s in range(4) for a in range(2)}, n_states=5, n_actions=2
    )
    history = _learn(solution, world, n_episodes=6)[1]
    if world.lengths != [4] * 6:
        raise WrongError(
            f"six episodes of a world that ends each after 4 steps had {world.lengths} steps"
        )
    if len(history) != 6:
        raise WrongError(f"six episodes, but the history has {len(history)} entries")
    endless = TableEnv({}, n_states=1, n_actions=2)
    _learn(solution, endless, n_episodes=3, max_steps=7)
    if endless.lengths != [7] * 3:
        raise WrongError(
            f"with max_steps=7 the episodes of a world without an end had {endless.lengths} steps"
        )


def last_step_is_worth_its_reward(solution: Solution) -> None:
    """A step that ends the episode moves its cell by alpha towards the reward."""
    _check_update(solution, TableEnv({(0, 0): (1, 10.0, True)}, n_states=2, n_actions=1), 2)


def end_has_no_future(solution: Solution) -> None:
    """What follows the end of an episode does not count."""
    _check_update(solution, TableEnv({(0, 0): (0, 1.0, True)}, n_states=1, n_actions=1), 9)


def time_limit_is_no_end(solution: Solution) -> None:
    """An episode that the clock cuts off (truncated) has a future."""
    rules = {(0, 0): (0, 1.0, False)}
    _check_update(solution, TableEnv(rules, n_states=1, n_actions=1, time_limit=3), 4)


def update_follows_bellman(solution: Solution) -> None:
    """Any other step moves its cell towards reward + gamma * the best of the next state."""
    _check_update(solution, TableEnv(_ROUND, n_states=2, n_actions=3), 30)


def _check_update(solution: Solution, world: TableEnv, n_episodes: int) -> None:
    """Compare a table with what the steps that were really made should have left."""
    table = np.asarray(_learn(solution, world, n_episodes=n_episodes)[0])
    expected = _RIGHT.table(world.log, table.shape)
    if np.allclose(table, expected, atol=1e-5):
        return
    hint = "cell += alpha * (reward + gamma * max(next row) - cell)"
    for mistake, rule in _MISTAKES.items():
        if np.allclose(table, rule.table(world.log, table.shape), atol=1e-5):
            hint = f"this comes out when {mistake}"
            break
    row, column = np.unravel_index(np.argmax(np.abs(table - expected)), table.shape)
    raise WrongError(
        f"after {len(world.log)} steps (alpha {_ALPHA}, gamma {_GAMMA}) the cell of state {row},"
        f" action {column} holds {table[row, column]:.4f}, the same steps should have left"
        f" {expected[row, column]:.4f}: {hint}"
    )


def epsilon_decays(solution: Solution) -> None:
    """The first episode has max_epsilon, episode n has min + (max - min) * exp(-decay * n)."""
    world = TableEnv({(0, 0): (0, 0.0, True), (0, 1): (0, 0.0, True)}, n_states=1, n_actions=2)
    bounds = {"max_epsilon": 0.9, "min_epsilon": 0.1, "epsilon_decay": 0.2}
    history = _learn(solution, world, n_episodes=60, **bounds)[1]
    expected = 0.1 + 0.8 * np.exp(-0.2 * np.arange(61))
    mistakes = {
        "off by one: the first episode has max_epsilon, reduce it after the episode": expected[1:],
        "off by one: after episode 0 one episode is over, n is 1": [0.9, *expected[:59]],
        "it never changes": np.full(60, 0.9),
    }
    names = [f"episode {number}" for number in range(60)]
    check_epsilons(history, names, expected[:60], mistakes)


def random_actions_at_epsilon_one(solution: Solution) -> None:
    """With epsilon 1 every action is random, each as likely as the others."""
    world = TableEnv({(0, 2): (0, 1.0, False)}, n_states=1, n_actions=4)
    _learn(solution, world, n_episodes=4, max_steps=500)
    actions = [step.action for step in world.log]
    check_random(actions, 4, "are played with epsilon 1")
    if actions[:500] == actions[500:1000]:
        raise WrongError(
            "two episodes with epsilon 1 took the same 500 actions: draw from the rng that was"
            " passed, do not make another one for each episode"
        )


def best_actions_at_epsilon_zero(solution: Solution) -> None:
    """With epsilon 0 every action is the best of the present state's row."""
    world = TableEnv(_ROUND, n_states=2, n_actions=3)
    _learn(solution, world, n_episodes=20, max_epsilon=0.0, min_epsilon=0.0)
    table = np.zeros((2, 3))
    for number, step in enumerate(world.log):
        row = table[step.state]
        if row[step.action] < row.max() - 1e-6:
            raise WrongError(
                f"step {number} with epsilon 0 took action {step.action} in state {step.state},"
                f" whose row is {np.round(row, 3)}: the best is action {int(row.argmax())}"
            )
        _RIGHT.learn(table, step)


def epsilon_is_used(solution: Solution) -> None:
    """Once epsilon has fallen to 0, actions are no longer random."""
    world = TableEnv({(0, 1): (0, 1.0, False)}, n_states=1, n_actions=4)
    _learn(solution, world, n_episodes=12, max_steps=40, min_epsilon=0.0, epsilon_decay=5.0)
    for name, steps, wanted in (
        ("the first episode, with epsilon 1,", world.log[:40], range(2, 5)),
        ("the last episodes, with epsilon 0,", world.log[-240:], range(1, 2)),
    ):
        n_different = len({step.action for step in steps})
        if n_different not in wanted:
            hint = "the epsilon that falls must be the one that decides"
            raise WrongError(f"{name} took {n_different} different actions: {hint}")


def taxi_is_learned(solution: Solution) -> None:
    """Two thousand episodes teach the taxi: more than 5 a game (the optimum is 7.93)."""
    env = gym.make("Taxi-v4", render_mode="ansi")
    env.reset(seed=0)  # later resets without a seed go on from here
    env.action_space.seed(0)
    schedule = {"max_epsilon": 1.0, "min_epsilon": 0.001, "epsilon_decay": 0.01}
    table = _learn(
        solution,
        env,
        n_episodes=2000,
        max_steps=200,
        alpha=0.5,
        gamma=0.99,
        **schedule,
    )[0]
    policy = np.asarray(table).argmax(axis=1)
    player: Any = SimpleNamespace(predict=lambda states, deterministic: (policy[states], None))
    mean = evaluate_exactly(player, "Taxi-v4").mean_return
    if mean < 5.0:
        raise WrongError(
            f"the table is worth {mean:.2f} a game, over all 300 starts: is every episode another"
            " one? (no seed in env.reset)"
        )


Q_LEARNING = Exercise(
    functions=("q_learning",),
    properties=(
        table_starts_at_zero,
        episodes_begin_and_end,
        last_step_is_worth_its_reward,
        end_has_no_future,
        time_limit_is_no_end,
        update_follows_bellman,
        epsilon_decays,
        random_actions_at_epsilon_one,
        best_actions_at_epsilon_zero,
        epsilon_is_used,
        taxi_is_learned,
    ),
)
