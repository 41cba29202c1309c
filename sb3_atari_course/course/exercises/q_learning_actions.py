"""The actions of ``q_learning``: the decay of epsilon, random actions, the best ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.fake_envs import TableEnv, check_epsilons, check_random
from sb3_atari_course.course.exercises.judging import Solution, WrongError
from sb3_atari_course.course.exercises.q_learning_calls import CONSTANT_HINT, learn
from sb3_atari_course.course.exercises.q_learning_rules import RIGHT, episodes_of

#: Two states without an end, in which the best action changes within an episode.
_CIRCLE = {
    (0, 0): (1, -1.0, False),
    (0, 1): (1, -2.0, False),
    (0, 2): (0, -1.0, False),
    (1, 0): (0, -3.0, False),
    (1, 1): (1, -1.0, False),
    (1, 2): (0, -2.0, False),
}

#: What a wrong action with epsilon 0 may be the best of.
_GREEDY_MISTAKES = (
    "that is the worst of the row at each step, the minimum (or always the same action): take the"
    " maximum",
    "that was the best when the episode began, update the table at each step, not after the"
    " episode",
    "that is the best of the first state of the episode, not of the present one",
    "that is the best of the state before: state = next_state after each step",
)


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
        "off by one: n is how many episodes are over, 1 after the first": [0.9, *expected[2:]],
        "it never changes": np.full(60, 0.9),
        "n is left out of the exponent, so it falls only once": [0.9, *np.full(59, expected[1])],
        "max_epsilon and min_epsilon have changed places": [
            0.9,
            *(0.9 - 0.8 * np.exp(-0.2 * episode[1:60])),
        ],
        "it starts at max_epsilon": [1.0, *expected[1:60]],
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
            mistake = f"another {name} changes no epsilon, so it is not used: {CONSTANT_HINT}"
            mistakes[mistake] = _epsilons(history)
    names = [f"episode {number}" for number in range(60)]
    check_epsilons(history, names, expected[:60], mistakes)


def _decay(solution: Solution, **bounds: float) -> list[Any]:
    """Return the history of sixty episodes of two steps each."""
    rules = {(s, a): (s + 1, 0.0, s == 1) for s in range(2) for a in range(2)}
    env = TableEnv(rules, n_states=3, n_actions=2)
    return learn(solution, env, n_episodes=60, **bounds).history


def _epsilons(history: Sequence[Any]) -> list[float]:
    return [float(entry.epsilon) for entry in history]


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return np.array_equal(_epsilons(one), _epsilons(other))


def _first_episode_is_random(solution: Solution) -> bool:
    """Return whether an epsilon that falls from 1 to 0 after one episode is 1 in the first."""
    env = TableEnv({(0, 0): (0, 1.0, False)}, n_states=1, n_actions=4)
    learn(solution, env, n_episodes=2, min_epsilon=0.0, epsilon_decay=50.0)
    return len({step.action for step in env.log[20:50]}) > 1


def random_actions_at_epsilon_one(solution: Solution) -> None:
    """With epsilon 1 every action is random, each as likely as the others."""
    episodes = _play(solution, epsilon=1.0, seed=0)
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


def _play(solution: Solution, *, epsilon: float, seed: int) -> list[list[int]]:
    """Return the actions of three episodes of 500 steps each; action 2 is the best."""
    rules = {(0, action): (0, 1.0 if action == 2 else -1.0, False) for action in range(4)}
    env = TableEnv(rules, n_states=1, n_actions=4)
    env.action_space.seed(seed)
    bounds = {"max_epsilon": epsilon, "min_epsilon": epsilon}
    learn(solution, env, n_episodes=3, max_steps=500, rng=np.random.default_rng(seed), **bounds)
    return [[step.action for step in episode] for episode in episodes_of(env.log)]


def best_actions_at_epsilon_zero(solution: Solution) -> None:
    """With epsilon 0 every action is the best of the present state's row."""
    env = TableEnv(_CIRCLE, n_states=2, n_actions=3)
    env.action_hint = (
        "with epsilon 0 it is the best of one row, np.argmax(table[state]), not of the whole table"
    )
    learned = learn(
        solution, env, n_episodes=4, max_steps=15, max_epsilon=0.0, min_epsilon=0.0
    ).table
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
    if not np.allclose(learned, table, atol=1e-5):
        raise WrongError(
            f"with epsilon 0 and rewards below 0 the table is {learned.round(3).tolist()} after"
            f" {len(env.log)} steps that should have left {table.round(3).tolist()}: the update is"
            " the same for every step, whether values rise or fall, and whether the action was"
            " random or the best"
        )
    if wrong:
        likely = next((hint for hint in _GREEDY_MISTAKES if hint in hints), "")
        raise WrongError(f"{wrong}: {likely or 'take np.argmax(table[state])'}")


def _is_best(row: NDArray[Any], action: int) -> bool:
    return bool(row[action] >= row.max() - 1e-4)


def rng_decides(solution: Solution) -> None:
    """The rng that was passed decides: another one leads to other actions."""
    calls = [_play(solution, epsilon=0.5, seed=seed) for seed in (0, 1)]
    explores = len(set(calls[0][-1])) > 1
    if explores and calls[0] == calls[1]:
        raise WrongError(
            "two calls with different generators in rng took the same actions: draw from the rng"
            " that was passed, do not make or seed another generator inside q_learning"
        )
    repeated = []
    for _ in range(2):
        random.seed(0)  # Python's and NumPy's own generators may be used: a seed repeats them
        np.random.seed(0)  # noqa: NPY002
        env = TableEnv({}, n_states=1, n_actions=4)
        learn(solution, env, max_steps=20, rng=np.random.default_rng(0))
        repeated.append([step.action for step in env.log])
    if repeated[0] != repeated[1]:
        raise WrongError(
            "two calls with equal generators in rng took other actions: draw from the rng that was"
            " passed, another generator without a seed cannot repeat a training"
        )


def epsilon_is_used(solution: Solution) -> None:
    """The epsilon that falls is the share of random actions, at each step."""
    env = TableEnv({(0, 1): (0, 1.0, False)}, n_states=1, n_actions=4)
    schedule = {"max_epsilon": 0.8, "min_epsilon": 0.1, "epsilon_decay": 0.05}
    history = learn(solution, env, n_episodes=60, max_steps=100, **schedule).history
    episodes = episodes_of(env.log)
    lengths, kept = {len(e) for e in episodes}, {len(entry.steps) for entry in history}
    if (len(episodes), len(history), lengths, kept) != (60, 60, {100}, {100}):
        raise WrongError(
            f"60 episodes of max_steps=100 became {len(episodes)} with the lengths {lengths}, the"
            f" history has {len(history)} entries whose `steps` have the lengths {kept}"
        )
    is_other = np.array([[step.action != 1 for step in episode] for episode in episodes])
    n_never = int(np.sum(~is_other.any(axis=0)))
    if n_never > 5 and is_other.any():
        raise WrongError(
            f"{n_never} of the 100 steps of an episode take the best action in all 60 episodes, so"
            " the same random numbers decide in each: do not make or seed a generator there"
        )
    shares = is_other.mean(axis=1)
    for first in (0, 20, 50):
        part = slice(first, first + 10)
        epsilon, share = np.mean(_epsilons(history[part])), np.mean(shares[part])
        if abs(share - 0.75 * epsilon) > 0.08:
            hint = "the epsilon that falls must be the one that decides, rng.random() < epsilon"
            if np.all((shares < 0.02) | (shares > 0.6)):
                hint = "whole episodes are random or not, draw rng.random() at each step"
            raise WrongError(
                f"episodes {first} to {first + 9} have epsilon {epsilon:.2f} on average, so that of"
                f" 4 actions {0.75 * epsilon:.0%} of the steps should not take the best one, they"
                f" were {share:.0%}: {hint}"
            )
