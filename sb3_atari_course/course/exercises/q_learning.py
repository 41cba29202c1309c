"""Exercise 1, ``q_learning``: the table, the loop of episodes, the update, the decay of epsilon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

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
from sb3_atari_course.course.exercises.update_rules import (
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
    (1, 1): (0, -2.0, False),
    (1, 2): (1, 1.0, False),
}

#: Two states without an end, in which the best action changes within an episode.
_CIRCLE = {
    (0, 0): (1, -1.0, False),
    (0, 1): (1, -2.0, False),
    (0, 2): (0, -1.0, False),
    (1, 0): (0, -3.0, False),
    (1, 1): (1, -1.0, False),
    (1, 2): (0, -2.0, False),
}

#: Four steps from state 0 to the end in state 4, whose rewards are all different.
_CHAIN = {
    (state, action): (state + 1, 3.0 - 2 * state + action, state == 3)
    for state in range(4)
    for action in range(2)
}

_CONSTANT_HINT = "does a number or a variable of the lesson stand in its place?"


#: What a wrong action with epsilon 0 may be the best of.
_GREEDY_MISTAKES = (
    "that is the worst, take the maximum",
    "that was the best when the episode began, update the table at each step, not after the"
    " episode",
    "that is the best of the first state of the episode, not of the present one",
    "that is the best of the state before: state = next_state after each step",
)


class _Learned(NamedTuple):
    """What a call of q_learning returned."""

    table: NDArray[Any]
    history: list[Any]


def _learn(solution: Solution, env: gym.Env[Any, Any], **changes: Any) -> _Learned:
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
    _check_table(learned.table, int(env.observation_space.n), int(env.action_space.n))  # type: ignore[attr-defined]
    return learned


def _read(result: Any) -> _Learned:
    """Return table and history.

    :raises WrongError: if they are something else.
    """
    if result is None:
        raise WrongError("q_learning returned nothing: it ends with return table, history")
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise WrongError(
            f"q_learning returns two things, table and history, got one: {type(result).__name__}"
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
    return _Learned(array, entries)


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
    if table.dtype.kind != "f":
        raise WrongError(f"the table holds {table.dtype}: values are fractions (float)")


def _check_entry(number: int, entry: Any) -> None:
    missing = [name for name in ("epsilon", "steps") if not hasattr(entry, name)]
    if missing:
        raise WrongError(
            f"entry {number} of the history is a {type(entry).__name__} without"
            f" {' and '.join(missing)}: append Episode(epsilon, steps)"
        )
    if np.isnan(_number(entry.epsilon)):
        raise WrongError(
            f"epsilon of entry {number} of the history is {entry.epsilon!r:.60}, not a number:"
            " the order is Episode(epsilon, steps)"
        )
    if not hasattr(entry.steps, "__len__"):
        raise WrongError(
            f"steps of entry {number} of the history is {entry.steps!r:.60}: it is a list with an"
            " EpisodeStep for each step"
        )


def _number(value: Any) -> float:
    """Return a student's number, nan if it is something else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def table_starts_at_zero(solution: Solution) -> None:
    """The table has a row for each state, a column for each action, and starts at zero."""
    env = TableEnv({}, n_states=4, n_actions=1)
    table = _learn(solution, env, n_episodes=2, max_steps=1).table
    if np.any(table):
        raise WrongError(
            f"after two steps with reward 0 the table is {table.ravel()}: it starts at 0 everywhere"
        )


def calls_are_independent(solution: Solution) -> None:
    """A second call starts over: table, history and epsilon are those of a first call."""
    rules = {(state, 0): (state + 1, 1.0, state == 2) for state in range(3)}

    def learn() -> _Learned:
        env = TableEnv(rules, n_states=4, n_actions=1)
        bounds = {"max_epsilon": 0.9, "min_epsilon": 0.1, "epsilon_decay": 0.2}
        return _learn(solution, env, n_episodes=3, **bounds)

    first = learn()
    kept = first.table.copy(), len(first.history)
    second = learn()
    cause = "make it inside q_learning, not before or as the default of an argument"
    if len(second.history) != kept[1]:
        raise WrongError(
            f"called twice with three episodes, the second call returns a history of"
            f" {len(second.history)} entries, the first {kept[1]}: the list survives, {cause}"
        )
    for name, epsilons in (
        (f"episode {i}", [call.history[i].epsilon for call in (first, second)])
        for i in range(kept[1])
    ):
        if not np.isclose(*map(_number, epsilons)):
            raise WrongError(
                f"called twice alike, {name} has epsilon {epsilons[0]:.4f} in the first call and"
                f" {epsilons[1]:.4f} in the second: epsilon, or what counts the episodes, survives"
                " a call, set it at the start of q_learning"
            )
    if not np.allclose(second.table, kept[0]):
        raise WrongError(
            f"called twice with the same steps, the first call learned {kept[0].ravel().round(3)},"
            f" the second {second.table.ravel().round(3)}: the table survives, {cause}"
        )
    if np.shares_memory(first.table, second.table):
        raise WrongError(f"a second call changes the table that the first returned: {cause}")


def episodes_begin_and_end(solution: Solution) -> None:
    """Each episode begins with a reset and lasts until the environment or max_steps ends it."""
    env = TableEnv(_CHAIN, n_states=5, n_actions=2)
    history = _learn(solution, env, n_episodes=6).history
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
        hint = {1: "append to it inside the loop", 24: "append once an episode, not each step"}
        raise WrongError(
            f"six episodes, but the history has {len(history)} entries:"
            f" {hint.get(len(history), 'append an Episode for each')}"
        )
    _learn(solution, TableEnv({}, n_states=1, n_actions=2, time_limit=5), n_episodes=2)
    endless = TableEnv({}, n_states=1, n_actions=2)
    _learn(solution, endless, n_episodes=3, max_steps=7)
    lengths = _played(endless)
    if lengths != [7] * 3:
        hint = f"is max_steps used? {_CONSTANT_HINT}"
        if lengths in ([8] * 3, [6] * 3):
            hint = "off by one: the steps so far are < max_steps when another one is made"
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
        _learn(solution, env, n_episodes=4, rng=np.random.default_rng(seed))
        seeds.append(env.seeds[1:])  # the first may have one
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
    history = _learn(solution, env, n_episodes=6).history
    episodes = episodes_of(env.log)
    lengths, found = [len(e) for e in episodes], [len(entry.steps) for entry in history]
    if found != lengths:
        hint = "append an EpisodeStep for each step"
        if found == list(np.cumsum(lengths)) or len({id(entry.steps) for entry in history}) == 1:
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
            seen = _number(getattr(entry, name, right))
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
    table = _learn(solution, env).table
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
    table = _learn(solution, env, n_episodes=n_episodes, **changes).table
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
        table = _learn(solution, env, n_episodes=30, max_steps=max_steps).table
        runs.append((table, env.log))
    mistake = name_mistake(runs)
    if mistake:
        return f"this comes out when {mistake}"

    def learn(**changes: float) -> bytes:
        env = TableEnv({(0, 0): (0, 1.0, False)}, n_states=1, n_actions=1, time_limit=4)
        return _learn(solution, env, **changes).table.tobytes()

    for name, other in (("alpha", ALPHA / 2), ("gamma", GAMMA / 2)):
        if learn(**{name: other}) == learn():
            return f"{name} = {other} leaves the same table, {_CONSTANT_HINT}"
    return "cell += alpha * (reward + gamma * max(next row) - cell), once for each step"


def epsilon_decays(solution: Solution) -> None:
    """The first episode has max_epsilon, episode n has min + (max - min) * exp(-decay * n)."""
    bounds = {"max_epsilon": 0.9, "min_epsilon": 0.1, "epsilon_decay": 0.2}
    history = _decay(solution, **bounds)
    episode = np.arange(61)
    expected = 0.1 + 0.8 * np.exp(-0.2 * episode)
    if len(history) == 60 and np.allclose(_epsilons(history), expected[:60], atol=1e-6):
        return
    late = "off by one: the first episode has max_epsilon, reduce it after the episode"
    if _first_episode_is_random(solution):
        late = "off by one: append the Episode before epsilon is reduced, it has the epsilon"
        late += " with which it was played"
    n_steps = 2 * episode  # of all episodes before
    known = {
        late: expected[1:],
        "off by one: after episode 0 one episode is over, n is 1": [0.9, *expected[:59]],
        "it never changes": np.full(60, 0.9),
        "the reduced epsilon is reduced by all n episodes again: start from max_epsilon each time,"
        " or reduce by one": 0.1 + 0.8 * np.exp(-0.2 * episode * (episode + 1) / 2),
        "it is reduced at each step, not once an episode": 0.1 + 0.8 * np.exp(-0.2 * n_steps),
        "it is reduced at each step of the episode, before that is appended: once an episode is"
        " enough": 0.1 + 0.8 * np.exp(-0.2 * (n_steps + 2)),
        "max_epsilon - min_epsilon is what decays, not max_epsilon": [
            0.9,
            *(0.1 + 0.9 * np.exp(-0.2 * episode[1:60])),
        ],
        "the part above min_epsilon decays: min + (max - min) * exp(...)": np.maximum(
            0.1, 0.9 * np.exp(-0.2 * episode)
        ),
        "min_epsilon is left out": 0.9 * np.exp(-0.2 * episode),
        "min_epsilon is to be added": [0.9, *(0.8 * np.exp(-0.2 * episode[1:60]))],
        "the decay is linear, not exponential": np.maximum(0.1, 0.9 - 0.2 * episode),
        "the range from min to max decays linearly, not exponentially": np.maximum(
            0.1, 0.9 - 0.8 * 0.2 * episode
        ),
        "the decay runs linearly over n_episodes, not by exp(-decay * n)": 0.9 - 0.8 * episode / 60,
        "the factor of an episode is exp(-decay), not 1 - decay": 0.9 * 0.8**episode,
        "the factor of an episode is exp(-decay), not 1 - decay, above min_epsilon": 0.1
        + 0.8 * 0.8**episode,
        "the exponent must be negative": 0.1 + 0.8 * np.exp(0.2 * episode),
    }
    mistakes = {what: epsilons[:60] for what, epsilons in known.items()}
    for name in bounds:
        if _same(_decay(solution, **{**bounds, name: bounds[name] + 0.05}), history):
            mistakes[f"another {name} leaves all of them as they are, {_CONSTANT_HINT}"] = (
                _epsilons(history)
            )
    names = [f"episode {number}" for number in range(60)]
    check_epsilons(history, names, expected[:60], mistakes)


def _decay(solution: Solution, **bounds: float) -> list[Any]:
    """Return the history of sixty episodes of two steps each."""
    rules = {(s, a): (s + 1, 0.0, s == 1) for s in range(2) for a in range(2)}
    env = TableEnv(rules, n_states=3, n_actions=2)
    return _learn(solution, env, n_episodes=60, **bounds).history


def _epsilons(history: Sequence[Any]) -> list[float]:
    return [float(entry.epsilon) for entry in history]


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return np.array_equal(_epsilons(one), _epsilons(other))


def _first_episode_is_random(solution: Solution) -> bool:
    """Return whether an epsilon that falls from 1 to 0 after one episode is 1 in the first."""
    env = TableEnv({(0, 0): (0, 1.0, False)}, n_states=1, n_actions=4)
    _learn(solution, env, n_episodes=2, min_epsilon=0.0, epsilon_decay=50.0)
    return len({step.action for step in env.log[20:50]}) > 1


def random_actions_at_epsilon_one(solution: Solution) -> None:
    """With epsilon 1 every action is random, each as likely as the others."""
    rules = {(0, action): (0, 1.0 if action == 2 else -1.0, False) for action in range(4)}
    calls = []
    for seed in (0, 1):
        env = TableEnv(rules, n_states=1, n_actions=4)
        env.action_space.seed(seed)
        _learn(solution, env, n_episodes=3, max_steps=250, rng=np.random.default_rng(seed))
        calls.append([[step.action for step in episode] for episode in episodes_of(env.log)])
    episodes = calls[0]
    played = [action for episode in episodes for action in episode]
    if all(len(set(episode)) == 1 for episode in episodes) and set(played) != {2}:
        raise WrongError(
            f"with epsilon 1 the first episode took action {played[0]} at each of its"
            f" {len(episodes[0])} steps: draw an action at each step, from the rng that was passed"
            " (a generator made with a seed at each step yields the same number each time)"
        )
    check_random(played, 4, "are played with epsilon 1")
    if any(one == other for one, other in pairwise(episodes)):
        raise WrongError(
            f"two episodes with epsilon 1 took the same {len(episodes[0])} actions: draw from the"
            " rng that was passed, do not make or seed a generator in each episode"
        )
    if calls[0] == calls[1]:
        raise WrongError(
            "two calls with different generators in rng took the same actions: draw from the rng"
            " that was passed, do not make or seed another generator inside q_learning"
        )


def best_actions_at_epsilon_zero(solution: Solution) -> None:
    """With epsilon 0 every action is the best of the present state's row."""
    env = TableEnv(_CIRCLE, n_states=2, n_actions=3)
    env.action_hint = (
        "with epsilon 0 it is the best of one row, np.argmax(table[state]), not of the whole table"
    )
    _learn(solution, env, n_episodes=4, max_steps=15, max_epsilon=0.0, min_epsilon=0.0)
    table, wrong, hints = np.zeros((2, 3)), "", set(_GREEDY_MISTAKES)
    for episode in episodes_of(env.log):
        at_reset = table.copy()
        for number, step in enumerate(episode):
            row, before = table[step.state], episode[max(0, number - 1)].state
            if not wrong and not _is_best(row, step.action):
                wrong = (
                    f"step {number} of episode {step.episode} with epsilon 0 took action"
                    f" {step.action} in state {step.state}, whose row is {np.round(row, 3)}, where"
                    f" the best is action {int(row.argmax())}"
                )
            rows = (-row, at_reset[step.state], table[episode[0].state], table[before])
            hints -= {
                hint
                for hint, other in zip(_GREEDY_MISTAKES, rows, strict=True)
                if not _is_best(other, step.action)
            }
            RIGHT.learn(table, step)
    if wrong:
        likely = next((hint for hint in _GREEDY_MISTAKES if hint in hints), "")
        raise WrongError(f"{wrong}: {likely or 'take np.argmax(table[state])'}")


def _is_best(row: NDArray[Any], action: int) -> bool:
    return bool(row[action] >= row.max() - 1e-4)


def epsilon_is_used(solution: Solution) -> None:
    """The epsilon that falls is the share of random actions, at each step."""
    env = TableEnv({(0, 1): (0, 1.0, False)}, n_states=1, n_actions=4)
    schedule = {"max_epsilon": 0.8, "min_epsilon": 0.1, "epsilon_decay": 0.1}
    history = _learn(solution, env, n_episodes=40, max_steps=100, **schedule).history
    table, shares = np.zeros((1, 4)), list[float]()
    for episode in episodes_of(env.log):
        others = 0
        for step in episode:
            others += not _is_best(table[0], step.action)
            RIGHT.learn(table, step)
        shares.append(others / len(episode))
    for first in (0, 10, 30):
        part = slice(first, first + 10)
        epsilon, share = np.mean(_epsilons(history[part])), np.mean(shares[part])
        if abs(share - 0.75 * epsilon) > 0.08:
            hint = "the epsilon that falls must be the one that decides, rng.random() < epsilon"
            if all(one < 0.02 or one > 0.6 for one in shares):
                hint = "whole episodes are random or not, draw rng.random() at each step"
            raise WrongError(
                f"episodes {first} to {first + 9} have epsilon {epsilon:.2f} on average, so that of"
                f" 4 actions {0.75 * epsilon:.0%} of the steps should not take the best one, they"
                f" were {share:.0%}: {hint}"
            )


def cliff_is_learned(solution: Solution) -> None:
    """150 episodes teach Gymnasium's CliffWalking: -13 an episode is the optimum."""
    env = gym.make("CliffWalking-v1", render_mode="ansi")
    env.reset(seed=0)
    env.action_space.seed(0)
    schedule = {"max_epsilon": 1.0, "min_epsilon": 0.001, "epsilon_decay": 0.05}
    table = _learn(
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
        epsilon_is_used,
        cliff_is_learned,
    ),
)
