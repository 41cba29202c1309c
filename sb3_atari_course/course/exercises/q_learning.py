"""Exercise 1, ``q_learning``: the table, the loop of episodes, the update, the decay of epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.fake_envs import Step, TableEnv
from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError
from sb3_atari_course.course.exercises.q_learning_actions import (
    best_actions_at_epsilon_zero,
    epsilon_decays,
    epsilon_is_used,
    random_actions_at_epsilon_one,
    rng_decides,
)
from sb3_atari_course.course.exercises.q_learning_calls import (
    CONSTANT_HINT,
    Learned,
    learn,
    number_of,
)
from sb3_atari_course.course.exercises.q_learning_rules import (
    ALPHA,
    GAMMA,
    RIGHT,
    episodes_of,
    name_mistake,
)
from sb3_atari_course.course.toy_text import evaluate_exactly

#: Two states and an end that looks like the first: what follows an end must not count.
_ROUND = {
    (0, 0): (1, -1.0, False),
    (0, 1): (1, 2.0, False),
    (0, 2): (0, -1.0, False),
    (1, 0): (0, 3.0, True),
    (1, 1): (0, -2.5, False),
    (1, 2): (1, 0.5, False),
}

#: Four steps from state 0 to the end in state 4, whose rewards are all different.
_CHAIN = {
    (state, action): (state + 1, 3.0 - 2 * state + action, state == 3)
    for state in range(4)
    for action in range(2)
}


def table_starts_at_zero(solution: Solution) -> None:
    """The table has a row for each state, a column for each action, and starts at zero."""
    env = TableEnv({}, n_states=4, n_actions=1)
    table = learn(solution, env, n_episodes=2, max_steps=1).table
    if np.any(table):
        raise WrongError(
            f"after two steps with reward 0 the table is {table.ravel()}: it starts at 0 everywhere"
        )


def calls_are_independent(solution: Solution) -> None:
    """A second call starts over: table, history and epsilon are those of a first call."""
    rules = {(state, 0): (state + 1, 1.0, state == 2) for state in range(3)}

    def call() -> Learned:
        env = TableEnv(rules, n_states=4, n_actions=1)
        bounds = {"max_epsilon": 0.9, "min_epsilon": 0.1, "epsilon_decay": 0.2}
        return learn(solution, env, n_episodes=3, **bounds)

    first = call()
    table, n_entries = first.table.copy(), len(first.history)
    second = call()
    cause = "make it inside q_learning, not before or as the default of an argument"
    if len(second.history) != n_entries:
        raise WrongError(
            f"called twice with three episodes, the second call returns a history of"
            f" {len(second.history)} entries, the first {n_entries}: the list survives, {cause}"
        )
    for number in range(n_entries):
        once, again = (number_of(one.history[number].epsilon) for one in (first, second))
        if not np.isclose(once, again):
            raise WrongError(
                f"called twice alike, episode {number} has epsilon {once:.4f} in the first call"
                f" and {again:.4f} in the second: epsilon, or what counts the episodes, survives a"
                " call, set it at the start of q_learning"
            )
    if not np.allclose(second.table, table):
        raise WrongError(
            f"called twice with the same steps, the first call learned {table.ravel().round(3)},"
            f" the second {second.table.ravel().round(3)}: the table survives, {cause}"
        )
    if np.shares_memory(first.table, second.table):
        raise WrongError(f"a second call changes the table that the first returned: {cause}")


def episodes_begin_and_end(solution: Solution) -> None:
    """Each episode begins with a reset and lasts until the environment or max_steps ends it."""
    env = TableEnv(_CHAIN, n_states=5, n_actions=2)
    history = learn(solution, env, n_episodes=6).history
    lengths = _played(env)
    if lengths != [4] * 6:
        hint = ""
        if len(lengths) == 1:
            hint = ": does return stand inside the loop of the episodes?"
        elif len(lengths) != 6:
            hint = f": n_episodes is 6, but {len(lengths)} were played"
        raise WrongError(
            "six episodes of an environment that ends each after 4 steps had"
            f" {_short(lengths)} steps{hint}"
        )
    if len(history) != 6:
        hints = {1: "append to it inside the loop", 24: "append once an episode, not each step"}
        raise WrongError(
            f"six episodes, but the history has {len(history)} entries:"
            f" {hints.get(len(history), 'append an Episode for each')}"
        )
    learn(solution, TableEnv({}, n_states=1, n_actions=2, time_limit=5), n_episodes=2)
    endless = TableEnv({}, n_states=1, n_actions=2)
    learn(solution, endless, n_episodes=3, max_steps=7)
    lengths = _played(endless)
    if lengths != [7] * 3:
        hint = f"is max_steps used? {CONSTANT_HINT}"
        if lengths in ([8] * 3, [6] * 3):
            hint = "off by one: the steps so far are < max_steps when another one is made"
        elif lengths == [14] * 3:
            hint = "env.step is called twice for each step"
        elif lengths in ([7], [21]):
            hint = "count the steps of each episode from 0, and begin each with a reset"
        raise WrongError(
            "with max_steps=7 three episodes of an environment without an end had"
            f" {_short(lengths)} steps: {hint}"
        )


def _played(env: TableEnv) -> list[int]:
    """Return the length of each episode; one more reset before it does no harm."""
    return [length for length in env.lengths if length]


def _short(lengths: Sequence[int]) -> str:
    return str(list(lengths[:8])) + (f" ... ({len(lengths)} episodes)" if len(lengths) > 8 else "")


def resets_have_no_seed(solution: Solution) -> None:
    """The function resets the environment without a seed, so that episodes begin differently."""
    seeds = []
    for seed in (0, 1):
        env = TableEnv(_CHAIN, n_states=5, n_actions=2)
        learn(solution, env, n_episodes=4, rng=np.random.default_rng(seed))
        seeds.append(env.reset_seeds[1:])  # the first may have one
    given = [seed for seed in seeds[0] if seed is not None]
    if given and seeds[0] == seeds[1]:
        what = "each episode begins in the same state"
        if len(set(given)) > 1:
            what = "each call meets the same starts"
        raise WrongError(
            f"env.reset was called with the seeds {given}, whatever rng was passed: then {what},"
            " so call env.reset() without a seed"
        )


def history_has_the_steps(solution: Solution) -> None:
    """The history has the epsilon and the steps of each episode, with their rewards."""
    env = TableEnv({**_CHAIN, (0, 1): (2, 5.0, False)}, n_states=5, n_actions=2)
    history = learn(solution, env, n_episodes=6).history
    episodes = episodes_of(env.log)
    lengths, found = [len(e) for e in episodes], [len(entry.steps) for entry in history]
    if found != lengths:
        hint = "append an EpisodeStep for each step"
        if found == [length - 1 for length in lengths]:
            hint = "the last one is missing, leave the loop after it was learned from and appended"
        elif found == list(np.cumsum(lengths)) or len({id(entry.steps) for entry in history}) == 1:
            hint = "start each episode with a new empty list"
        raise WrongError(
            f"episodes of {lengths} steps have {_short(found)} entries in `steps`: {hint}"
        )
    totals, before = np.cumsum([step.reward for step in env.log]), 0
    for number, (episode, entry) in enumerate(zip(episodes, history, strict=True)):
        _check_steps(f"of episode {number}", episode, list(entry.steps), totals[before:])
        before += len(episode)


def _check_steps(
    where: str, episode: Sequence[Step], entries: Sequence[Any], totals_so_far: NDArray[Any]
) -> None:
    """Compare the entries of one episode; what they do not have is not looked at.

    :param totals_so_far: rewards of all episodes up to each step.
    """
    total = 0.0
    for number, (step, entry) in enumerate(zip(episode, entries, strict=True)):
        total += step.reward
        expected = {
            "reward": (step.reward, {}),
            "action": (step.action, {}),
            "state": (
                step.next_state,
                {float(step.state): "that is the state before the step, not the one after it"},
            ),
            "total_reward": (
                total,
                {
                    total - step.reward: "add the reward of the step first",
                    totals_so_far[number]: "it starts at 0 in each episode",
                },
            ),
        }
        for name, (right, hints) in expected.items():
            seen = number_of(getattr(entry, name, right))
            if not np.isclose(seen, right):
                hint = next((h for value, h in hints.items() if np.isclose(seen, value)), "")
                raise WrongError(
                    f"step {number} {where} should have {name} {right:g}, its entry in the history"
                    f" has {getattr(entry, name)!r:.60}{hint and ': ' + hint}"
                )


def one_cell_changes(solution: Solution) -> None:
    """A step changes one cell of the table, that of its state and its action."""
    rules = {(0, action): (1, 10.0, True) for action in range(2)}
    env = TableEnv(rules, n_states=3, n_actions=2)
    table = learn(solution, env).table
    step = env.log[0]
    changed = [(int(row), int(column)) for row, column in np.argwhere(table)]
    if set(changed) <= {(0, step.action)}:
        return
    hint = "index it by both, table[state, action]"
    if len({row for row, _ in changed}) == 3:
        hint = (
            "the rows are one and the same list ([[0.0] * n_actions] * n_states does that), or"
            " a whole column is changed"
        )
    elif (0, 1 - step.action) in changed:
        hint = "the whole row of the state is changed, index it by both, table[state, action]"
    elif changed == [(1, step.action)]:
        hint = "that is the cell of the next state: state = next_state comes after the update"
    raise WrongError(
        f"after a single step, action {step.action} in state 0, the cells (state, action) that"
        f" changed are {changed}: {hint}"
    )


def last_step_is_worth_its_reward(solution: Solution) -> None:
    """A step that ends the episode moves its cell by alpha towards the reward."""
    _check_update(solution, TableEnv({(0, 0): (1, 10.0, True)}, n_states=2, n_actions=1), 2)


def end_has_no_future(solution: Solution) -> None:
    """What follows the end of an episode does not count."""
    _check_update(solution, TableEnv({(0, 0): (0, 1.0, True)}, n_states=1, n_actions=1), 9)


def time_limit_is_no_end(solution: Solution) -> None:
    """An episode that a time limit cuts off (truncated, or max_steps) has a future."""
    rules = {(0, 0): (0, 1.0, False)}
    _check_update(solution, TableEnv(rules, n_states=1, n_actions=1, time_limit=3), 4)
    _check_update(solution, TableEnv(rules, n_states=1, n_actions=1), 4, max_steps=3)


def update_follows_bellman(solution: Solution) -> None:
    """Any other step moves its cell towards reward + gamma * the best of the next state."""
    _check_update(solution, TableEnv(_ROUND, n_states=2, n_actions=3), 30)


def _check_update(solution: Solution, env: TableEnv, n_episodes: int, **changes: Any) -> None:
    """Compare a table with what the steps that were really made should have left."""
    table = learn(solution, env, n_episodes=n_episodes, **changes).table
    expected = RIGHT.table(env.log, (env.n_states, env.n_actions))
    if np.allclose(table, expected, atol=1e-5):
        return
    row, column = np.unravel_index(np.argmax(np.abs(table - expected)), table.shape)
    raise WrongError(
        f"after {len(env.log)} steps (alpha {ALPHA}, gamma {GAMMA}) the cell of state {row},"
        f" action {column} holds {table[row, column]:.4f}, the same steps should have left"
        f" {expected[row, column]:.4f}: {_explain_update(solution)}"
    )


def _explain_update(solution: Solution) -> str:
    """Return the likely cause of a wrong table, from episodes that end in each of three ways."""
    runs = []
    for time_limit, max_steps in ((None, 50), (4, 50), (None, 3)):
        env = TableEnv(_ROUND, n_states=2, n_actions=3, time_limit=time_limit)
        table = learn(solution, env, n_episodes=30, max_steps=max_steps).table
        runs.append((table, env.log))
    mistake = name_mistake(runs)
    if mistake:
        return f"this comes out when {mistake}"

    def table_with(**changes: float) -> NDArray[Any]:
        env = TableEnv({(0, 0): (0, 1.0, False)}, n_states=1, n_actions=1, time_limit=4)
        return learn(solution, env, **changes).table

    for name, other in (("alpha", ALPHA / 2), ("gamma", GAMMA / 2)):
        if np.array_equal(table_with(**{name: other}), table_with()):
            return f"{name} = {other} leaves the same table, so {name} is not used: {CONSTANT_HINT}"
    return "cell += alpha * (reward + gamma * max(next row) - cell), once for each step"


def cliff_is_learned(solution: Solution) -> None:
    """150 episodes teach Gymnasium's CliffWalking: -13 an episode is the optimum."""
    env = gym.make("CliffWalking-v1", render_mode="ansi")
    env.reset(seed=0)
    env.action_space.seed(0)
    schedule = {"max_epsilon": 1.0, "min_epsilon": 0.001, "epsilon_decay": 0.05}
    table = learn(
        solution, env, n_episodes=150, max_steps=100, alpha=0.9, gamma=0.99, **schedule
    ).table
    policy = table.argmax(axis=1)
    player: Any = SimpleNamespace(predict=lambda states, deterministic: (policy[states], None))
    mean = evaluate_exactly(player, env, max_steps=100).mean_return
    if mean < -17.0:
        raise WrongError(
            f"after 150 episodes the best actions of the table return {mean:.1f} an episode of"
            " CliffWalking (undiscounted, the optimum is -13): does it learn in each episode?"
        )


Q_LEARNING = Exercise(
    functions=("q_learning",),
    properties=(
        table_starts_at_zero,
        calls_are_independent,
        episodes_begin_and_end,
        resets_have_no_seed,
        history_has_the_steps,
        one_cell_changes,
        last_step_is_worth_its_reward,
        end_has_no_future,
        time_limit_is_no_end,
        update_follows_bellman,
        epsilon_decays,
        random_actions_at_epsilon_one,
        best_actions_at_epsilon_zero,
        rng_decides,
        epsilon_is_used,
        cliff_is_learned,
    ),
)
