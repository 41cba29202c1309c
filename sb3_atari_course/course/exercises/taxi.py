"""Exercise 1, ``q_learning``: the table, the walk through the world, the update, the decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.base import Exercise, Solution, WrongError
from sb3_atari_course.course.exercises.fake_envs import Step, TableEnv
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
    world = TableEnv({(0, 0): (1, 10.0, True)}, n_states=2, n_actions=1)
    once = float(_learn(solution, world, alpha=0.5)[0][0, 0])
    if not math.isclose(once, 5.0, abs_tol=1e-6):
        hint = {
            -5.0: ": the sign is wrong, the error is target minus old value",
            10.0: ": alpha is missing",
            0.0: ": the table is never updated in the row of the state that was left",
        }.get(round(once, 6), "")
        raise WrongError(
            f"one step paid 10 and ended it, alpha is 0.5: 5 expected, got {once:g}{hint}"
        )
    twice = float(_learn(solution, world, n_episodes=2, alpha=0.5)[0][0, 0])
    if not math.isclose(twice, 7.5, abs_tol=1e-6):
        hint = ": the old value must be subtracted from the target" if twice == 10.0 else ""
        raise WrongError(
            f"after the same step twice 7.5 expected (5, then half the way from 5 to 10), got"
            f" {twice:g}{hint}"
        )


def end_has_no_future(solution: Solution) -> None:
    """What follows the end of an episode does not count."""
    world = TableEnv({(0, 0): (0, 1.0, True)}, n_states=1, n_actions=1)
    value = float(_learn(solution, world, n_episodes=40)[0][0, 0])
    if value > 1.01:
        raise WrongError(
            f"a step that pays 1 and ends the episode is worth 1, got {value:.3f}: the terminal"
            " case is missing, there is no gamma * max after terminated"
        )


def update_follows_bellman(solution: Solution) -> None:
    """Any other step moves its cell towards reward + gamma * the best of the next state."""
    world = TableEnv(_ROUND, n_states=2, n_actions=3)
    table = np.asarray(_learn(solution, world, n_episodes=30)[0])
    _compare(table, world.log, world)


def time_limit_is_no_end(solution: Solution) -> None:
    """An episode that the clock cuts off (truncated) has a future."""
    world = TableEnv({(0, 0): (0, 1.0, False)}, n_states=1, n_actions=1, time_limit=3)
    table = np.asarray(_learn(solution, world, n_episodes=4)[0])
    _compare(table, world.log, world)


def _compare(table: NDArray[Any], log: list[Step], world: TableEnv) -> None:
    """Compare a table with what the steps that were really made should have left."""
    shape = table.shape
    expected = learned_table(log, shape, _ALPHA, _GAMMA, RULES["as asked"])
    if np.allclose(table, expected, atol=1e-5):
        return
    for hint, rule in RULES.items():
        if np.allclose(table, learned_table(log, shape, _ALPHA, _GAMMA, rule), atol=1e-5):
            raise WrongError(f"the table is what comes out when {hint}")
    row, column = np.unravel_index(np.argmax(np.abs(table - expected)), shape)
    raise WrongError(
        f"after {len(log)} steps (alpha {_ALPHA}, gamma {_GAMMA}) the cell of state {row}, action"
        f" {column} holds {table[row, column]:.4f}, the same steps should have left"
        f" {expected[row, column]:.4f}: cell += alpha * (reward + gamma * max(next row) - cell)"
    )


def epsilon_decays(solution: Solution) -> None:
    """The first episode has max_epsilon, episode n has min + (max - min) * exp(-decay * n)."""
    world = TableEnv({(0, 0): (0, 0.0, True), (0, 1): (0, 0.0, True)}, n_states=1, n_actions=2)
    bounds = {"max_epsilon": 0.9, "min_epsilon": 0.1, "epsilon_decay": 0.2}
    history = _learn(solution, world, n_episodes=60, **bounds)[1]
    try:
        played = [float(episode.epsilon) for episode in history]
    except AttributeError as error:
        raise WrongError(f"the history has an Episode for each episode, but {error}") from None
    expected = [0.1 + 0.8 * math.exp(-0.2 * n) for n in range(61)]
    if np.allclose(played, expected[:60], atol=1e-6):
        return
    if np.allclose(played, expected[1:], atol=1e-6):
        raise WrongError(
            f"off by one: the first episode has epsilon {played[0]:.4f}, not max_epsilon 0.9;"
            " reduce it after the episode"
        )
    if np.allclose(played, [0.9, *expected[:59]], atol=1e-6):
        raise WrongError(
            "off by one: the second episode still has max_epsilon; after episode 0 one episode is"
            f" over, n is 1 and epsilon {expected[1]:.4f}"
        )
    first = next(i for i in range(60) if not math.isclose(played[i], expected[i], abs_tol=1e-6))
    hint = ": it never changes" if len(set(played)) == 1 else ""
    raise WrongError(
        f"with max 0.9, min 0.1 and decay 0.2 episode {first} should be played with epsilon"
        f" {expected[first]:.4f}, got {played[first]:.4f}{hint}"
    )


def random_actions_at_epsilon_one(solution: Solution) -> None:
    """With epsilon 1 every action is random, each as likely as the others."""
    world = TableEnv({(0, 2): (0, 1.0, False)}, n_states=1, n_actions=4)
    _learn(solution, world, n_episodes=4, max_steps=500)
    shares = np.bincount([step.action for step in world.log], minlength=4) / len(world.log)
    if np.any(np.abs(shares - 0.25) > 0.08):
        hint = "; is the comparison with epsilon the wrong way round?" if shares.max() > 0.9 else ""
        raise WrongError(
            f"of 2000 steps with epsilon 1 the 4 actions had the shares {shares}{hint}"
        )


def best_actions_at_epsilon_zero(solution: Solution) -> None:
    """With epsilon 0 every action is the best of the present state's row."""
    world = TableEnv(_ROUND, n_states=2, n_actions=3)
    _learn(solution, world, n_episodes=20, max_epsilon=0.0, min_epsilon=0.0)
    table = np.zeros((2, 3))
    for number, step in enumerate(world.log):
        row = table[step.state].copy()
        if row[step.action] < row.max() - 1e-6:
            raise WrongError(
                f"step {number} with epsilon 0 took action {step.action} in state {step.state},"
                f" whose row is {np.round(row, 3)}: the best is action {int(row.argmax())}"
            )
        table = learned_table([step], (2, 3), _ALPHA, _GAMMA, RULES["as asked"], table)


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
